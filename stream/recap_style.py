"""How the recap looks: colours by role, light and dark, screen and paper."""

STYLE = """
:root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--ink:#171c26;--soft:#5d6675;--rule:#e3e6eb;--grid:#eceef2;
--online:#2563eb;--area:#2563eb22;--money:#0d9668;--orders:#3fb68f;--joins:#6d8df0;--leaves:#e0915a;--chats:#9aa4b5;
--done:#0d9668;--open:#7c4ddb;--dropped:#98a1b0;--bad:#c9352b;--warn:#fff6e0;--warn-ink:#7a5300;
--pin0:#dfe7fb;--pin1:#e9ecf2;--badge:#fff}
@media (prefers-color-scheme:dark){:root{--bg:#0e1218;--card:#171d26;--ink:#e7eaf0;--soft:#98a2b3;--rule:#2a323e;
--grid:#232a35;--online:#6b9bff;--area:#6b9bff26;--money:#34c792;--orders:#258f6b;--joins:#5f7fe0;--leaves:#c9793f;
--chats:#66728a;--done:#34c792;--open:#a98bf5;--dropped:#6b7688;--bad:#ff7a70;--warn:#362a0f;--warn-ink:#f3cf83;
--pin0:#25324d;--pin1:#242b37;--badge:#10151c}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:14px/1.5 system-ui,-apple-system,"Segoe UI","PingFang SC",
"Microsoft YaHei","Noto Sans CJK SC",sans-serif;font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
main{max-width:1200px;margin:0 auto;padding:28px 20px 40px}
header{margin:0 0 20px}
.eyebrow{margin:0;color:var(--soft);font-size:13px;letter-spacing:.06em}
h1{margin:2px 0 10px;font-size:26px;line-height:1.25;overflow-wrap:anywhere}
h2{margin:0 0 12px;font-size:16px}
dl{display:flex;flex-wrap:wrap;gap:6px 28px;margin:0}
dl div{display:flex;gap:8px}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere;unicode-bidi:isolate}
.card,.warnings{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:18px 20px;
margin:0 0 16px}
.warnings{background:var(--warn);color:var(--warn-ink);border-color:transparent;padding:12px 20px}
.warnings h2{font-size:14px;margin:0 0 4px}
.warnings ul{margin:0;padding-left:18px}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:10px;margin:0 0 16px}
.tile{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:12px 14px;min-width:0}
.tile b{display:block;font-weight:400;color:var(--soft);font-size:13px}
.tile strong{display:block;font-size:22px;line-height:1.3;font-weight:650;overflow-wrap:anywhere}
.tile small{display:block;min-height:1.5em;color:var(--soft);font-size:12px}
.tile.unknown strong{color:var(--dropped)}
.scroll{overflow-x:auto}
.empty{margin:0;color:var(--soft)}
table{border-collapse:collapse;width:100%}
th,td{padding:7px 10px;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule);unicode-bidi:isolate}
thead th{color:var(--soft);font-weight:400;font-size:13px;white-space:nowrap;vertical-align:bottom}
tbody th{font-weight:400;min-width:110px}
tbody th>span{font-weight:600;overflow-wrap:anywhere}
tbody tr:last-child>*{border-bottom:0}
tfoot th,tfoot td{border-top:2px solid var(--rule);border-bottom:0;font-weight:600}
th:first-child,td:first-child{padding-left:0}
th small,td small{display:block;color:var(--soft);font-size:12px;overflow-wrap:anywhere}
.n{text-align:right;white-space:nowrap}
.funnel thead th:nth-child(n+2),.products thead th:nth-child(n+2){text-align:right}
.funnel td.wide{width:55%;vertical-align:middle}
.funnel .meter{height:14px;margin:0}
.prompts thead th:nth-child(6){text-align:right}
.prompts td{white-space:nowrap}
.prompts td.why{white-space:normal;min-width:180px;color:var(--soft)}
.prompts th span{display:block}
.say{margin:2px 0;white-space:pre-line;overflow-wrap:anywhere}
.meter{display:block;height:4px;margin-top:4px;border-radius:3px;background:var(--grid);overflow:hidden}
.meter i{display:block;height:100%;background:var(--money);border-radius:3px}
.funnel .meter i{background:var(--online)}
.out{color:var(--bad);font-weight:600}
.state{display:inline-block;padding:0 8px;border-radius:9px;border:1px solid currentColor;font-size:12px}
.state.done{color:var(--done)}.state.open{color:var(--open)}.state.dropped{color:var(--soft)}
summary{cursor:pointer;font-weight:600}
details table{margin-top:10px}
footer{color:var(--soft);font-size:12px;text-align:center}
.chart{display:block;width:100%;min-width:820px;height:auto;font-size:11px;fill:var(--ink)}
.chart .heading{font-size:12px;font-weight:600}
.chart .tick{fill:var(--soft)}
.chart .strong{font-weight:600}
.chart .grid{stroke:var(--grid)}
.chart .base{stroke:var(--rule)}
.chart .online-line{fill:none;stroke:var(--online);stroke-width:2;stroke-linejoin:round}
.chart .online-area{fill:var(--area)}
.chart .online-dot{fill:var(--online)}
.chart .bar-gmv_paid{fill:var(--money)}.chart .bar-orders_paid{fill:var(--orders)}
.chart .bar-joins{fill:var(--joins)}.chart .bar-leaves{fill:var(--leaves)}.chart .bar-chats{fill:var(--chats)}
.chart .flag rect,.chart .flag-line{fill:var(--open);stroke:none}
.chart .flag-line{stroke:var(--open);stroke-dasharray:3 3;opacity:.75}
.chart .faint{opacity:.3}
.chart .flag.done rect{fill:var(--done)}.chart .flag-line.done{stroke:var(--done)}
.chart .flag.dropped rect{fill:var(--dropped)}.chart .flag-line.dropped{stroke:var(--dropped)}
.chart .badge{fill:var(--badge);font-weight:700;font-size:10.5px}
.chart .pin0 rect{fill:var(--pin0)}.chart .pin1 rect{fill:var(--pin1)}
.chart .event circle{fill:var(--money)}.chart .violation circle{
fill:var(--bad)}.chart .pause circle{fill:var(--dropped)}
.chart .tip{fill:transparent}
.chart .tip:hover{fill:var(--ink);fill-opacity:.06}
@media (max-width:640px){main{padding:16px 12px}.card{padding:14px}}
@media print{
:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#ccc;--grid:#e6e6e6;--online:#2563eb;
--area:#2563eb22;--money:#0d9668;--orders:#3fb68f;--joins:#6d8df0;--leaves:#e0915a;--chats:#9aa4b5;--done:#0d9668;
--open:#7c4ddb;--dropped:#777;--bad:#c9352b;--warn:#fff;--warn-ink:#000;--pin0:#dfe7fb;--pin1:#e9ecf2;--badge:#fff}
@page{size:A4;margin:11mm}
body{font-size:10px;-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:none;padding:0}.card,.tile,.warnings{border:0;padding:0;margin-bottom:14px}
.warnings{border:1px solid #ccc}
.tiles{grid-template-columns:repeat(6,1fr)}.scroll{overflow:visible}.chart{min-width:0;max-height:165mm}
th,td{padding:4px 6px}.tile strong{font-size:15px}h1{font-size:20px}h2{font-size:13px;margin-bottom:6px}
thead th,th small,td small,.tile b,.tile small,.state{font-size:9px}thead th{white-space:normal}
tr,.tile,.chart,.curve{break-inside:avoid}thead{display:table-header-group}h2{break-after:avoid}
}
"""
