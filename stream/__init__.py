"""The pure core: events in, numbers and prompts out. No network, disk, clock, environment, logging, threads or chance.

room       one room: closes seconds, says lines, prompts and recaps
 in        events, parcels (the contract) · errors (whose fault) · columns (events as rows, from their bytes)
           entrance: clock · dedupe · currency · waiting
 goods     catalogue, catalogue_* (files)
 sums      tally takes a second into: series · windows · panes · audience · products · splits · sources · show
           kinds (what counts where) · names (users and all else as numbers)
 compiled  scanning (bytes to columns) · admitting (at the door) · loops (closing)
           surveying (what was closed) · packing (for snapshots) · compiling (by Numba) · rehearsal
 numbers   numbers · shelf_numbers · split_numbers · plans · tables · worst · baseline
           view (the line, computed when asked)
 plays     playbook (data) · expressions, closures · signals · decision · evidence · openings
 prompts   desk (the way in) · board (the screen) · offers · voice, wording · prompts (what goes out)
 recap     recap (the record) · recap_page, recap_chart, recap_style, recap_text · recap_csv
"""
