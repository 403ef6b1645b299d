"""The pure core: events in, numbers and prompts out. No network, disk, clock, environment, logging, threads or chance.

errors   whose fault it is               events    the contract, decoding, repairing times
clock    room time from arrivals         dedupe    the same message twice
windows  rolling sums, distinct users    audience  online, sessions, retention, dwell
products the shelf                       catalogue what may be sold, and at which price
numbers  every number and its status     signals   what plays look at beyond the numbers
playbook plays, validated                prompts   who is told what, one at a time
room     one room's state, all of it     recap     the show, afterwards
"""
