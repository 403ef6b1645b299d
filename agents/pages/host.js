// One prompt at a time, for the host alone. Everything that comes in is set as text; nothing is ever parsed as HTML.
"use strict";

const WORDS = {
  zh: {
    html: "zh-CN", page: "主播提示", mark: "仅主播可见 · 勿入镜",
    done: "已做", doneKey: "空格 / 回车", skip: "跳过", skipKey: "S / Esc", seconds: "秒",
    calm: "暂无提示", calmMore: "按计划讲，有事这里会出现", over: "本场已结束", overMore: "辛苦了", before: "等待开播",
    connecting: "连接中", live: "已连接", stale: (s) => `数据已停 ${s} 秒`, off: "连接断开，重连中",
    waiting: "等待开播", denied: "口令无效，请重新打开链接", ended: "本场已结束", full: "页面过多，稍后重连",
    saidDone: "已记录：已做", saidSkip: "已记录：跳过", expired: "提示已到时",
    unsent: "回执未送达，重试中", lost: "回执没有送达",
    kinds: { compliance: "合规", crisis: "风险", stock: "库存", offer: "福利", talk: "话术" },
  },
  en: {
    html: "en", page: "Host prompts", mark: "Host only · keep out of the picture",
    done: "Done", doneKey: "Space / Enter", skip: "Skip", skipKey: "S / Esc", seconds: "s",
    calm: "No prompt", calmMore: "Go on as planned; what matters appears here", over: "The show is over", overMore: "Well done",
    before: "Waiting for the show",
    connecting: "Connecting", live: "Connected", stale: (s) => `No data for ${s} s`, off: "Offline, reconnecting",
    waiting: "Waiting for the show", denied: "Not allowed: open the link with its token", ended: "Show over",
    full: "Too many pages, trying again",
    saidDone: "Noted: done", saidSkip: "Noted: skipped", expired: "The prompt has run out",
    unsent: "Answer not delivered yet, trying again", lost: "The answer could not be delivered",
    kinds: { compliance: "Compliance", crisis: "Risk", stock: "Stock", offer: "Offer", talk: "Talk" },
  },
};
const RANK = ["compliance", "crisis", "stock", "offer", "talk"];
const CLOSED = new Set(["done", "skipped", "expired", "superseded", "withheld", "withdrawn"]);
const TICK_MS = 200;
const STALE_MS = 8000; // numbers come once a second
const JUMP_MS = 10000; // a clock further behind than this began anew; less is the unevenness of its ticks
const GUARD_MS = 450; // a key meant for the last prompt must not answer the one that just took its place
const PAINTED_MS = 250; // a prompt that is replaced at once was not shown
const RETRY_MS = [500, 1000, 2000, 4000, 8000, 8000, 8000];
const REOPEN_MS = 2000;
const KEPT_ANSWERS = 100;

const query = new URLSearchParams(location.search);
const lang = (query.get("lang") || "").toLowerCase().startsWith("en") ? "en" : "zh";
const T = WORDS[lang];
const room = decodeURIComponent(location.pathname.split("/")[2] || "");
const base = `/v1/rooms/${encodeURIComponent(room)}`;
const $ = (id) => document.getElementById(id);

// The token has left a cookie; in the address it would end up in pictures and histories.
if (query.has("token")) {
  query.delete("token");
  history.replaceState(null, "", location.pathname + (query.size ? `?${query}` : ""));
}

// --- the room's clock: it may be a recording's, so the wall's time means nothing here

let clockMs = null;
let clockAt = 0;
let lastTickMs = null;
let movedAt = performance.now();

function roomNow() {
  return clockMs === null ? null : clockMs + (performance.now() - clockAt);
}

function hearClock(ms) {
  if (typeof ms !== "number" || ms === lastTickMs) return;
  lastTickMs = ms;
  movedAt = performance.now();
  const here = roomNow();
  if (here === null || ms > here || ms < here - JUMP_MS) {
    clockMs = ms;
    clockAt = movedAt;
  }
}

// --- prompts

const open = new Map();
const answered = new Set(JSON.parse(sessionStorage.getItem("answered") || "[]"));
let current = null;
let paintedAt = 0;
let ended = false;

function leftMs(prompt) {
  const total = prompt.expires_ms - prompt.issued_ms;
  return Math.min(total, prompt.expires_ms - roomNow());
}

function rank(prompt) {
  const place = RANK.indexOf(prompt.class);
  return place < 0 ? RANK.length : place;
}

function choose() {
  let best = null;
  for (const [id, prompt] of open) {
    if (answered.has(id) || leftMs(prompt) <= 0) open.delete(id);
    else if (best === null || rank(prompt) < rank(best) || (rank(prompt) === rank(best) && prompt.issued_ms >= best.issued_ms)) best = prompt;
  }
  return best;
}

function show() {
  const next = choose();
  const ran = current !== null && next === null && !answered.has(current.id) && leftMs(current) <= 0;
  if (next !== current) {
    const same = next !== null && current !== null && next.id === current.id;
    current = next;
    paint(same);
    if (ran) note(T.expired);
  }
  count();
}

function paint(same) {
  const on = current !== null;
  $("prompt").hidden = !on;
  $("time").hidden = !on;
  $("answers").hidden = !on;
  $("calm").hidden = on;
  document.body.dataset.class = on ? String(current.class || "talk") : "none";
  if (!on) return calm();
  $("kind").textContent = T.kinds[current.class] || "";
  $("title").textContent = current.title || "";
  $("say").textContent = current.say || "";
  $("why").textContent = current.why || "";
  count();
  fit();
  if (same) return;
  const card = $("prompt");
  card.classList.remove("new");
  void card.offsetWidth; // so that the animation starts anew
  card.classList.add("new");
  paintedAt = performance.now();
  tellShown(current.id);
}

function calm() {
  const before = link === "waiting";
  $("calm").firstElementChild.textContent = ended ? T.over : before ? T.before : T.calm;
  $("calm").lastElementChild.textContent = ended ? T.overMore : before ? "" : T.calmMore;
}

// The largest type with which everything is on the screen.
function fit() {
  const card = $("prompt");
  let low = 0.2;
  let high = 1;
  const fits = (k) => {
    card.style.setProperty("--fit", k);
    return card.scrollHeight <= card.clientHeight && card.scrollWidth <= card.clientWidth;
  };
  if (fits(high)) return;
  for (let i = 0; i < 8; i++) {
    const middle = (low + high) / 2;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  fits(low);
}

function count() {
  if (current === null) return;
  $("answers").classList.toggle("ready", mayAnswer());
  const total = Math.max(1, current.expires_ms - current.issued_ms);
  const left = Math.max(0, leftMs(current));
  $("bar").style.transform = `scaleX(${left / total})`;
  const seconds = String(Math.ceil(left / 1000));
  if ($("left").firstElementChild.textContent !== seconds) $("left").firstElementChild.textContent = seconds;
  $("time").classList.toggle("soon", left <= 10000);
}

// --- answers

const shownIds = new Set();

function tellShown(id) {
  requestAnimationFrame(() => setTimeout(() => {
    if (current === null || current.id !== id || shownIds.has(id)) return;
    shownIds.add(id);
    post(id, "shown");
  }, PAINTED_MS));
}

function mayAnswer() {
  return current !== null && performance.now() - paintedAt >= GUARD_MS;
}

function answer(kind) {
  if (!mayAnswer()) return;
  const id = current.id;
  answered.add(id);
  sessionStorage.setItem("answered", JSON.stringify([...answered].slice(-KEPT_ANSWERS)));
  note(kind === "done" ? T.saidDone : T.saidSkip);
  post(id, kind);
  show();
}

async function post(id, kind) {
  const url = `${base}/prompts/${encodeURIComponent(id)}/${kind}`;
  for (const pause of RETRY_MS) {
    let status = 0;
    try {
      status = (await fetch(url, { method: "POST", credentials: "same-origin", keepalive: true })).status;
    } catch {
      // no answer at all: as good as 503
    }
    if (status >= 200 && status < 300) return;
    if (status >= 400 && status < 500) break;
    if (kind !== "shown") note(T.unsent, true);
    await new Promise((resume) => setTimeout(resume, pause));
  }
  if (kind !== "shown") note(T.lost, true);
}

let noteTimer = 0;
function note(text, bad = false) {
  const line = $("note");
  line.textContent = text;
  line.classList.add("on");
  line.classList.toggle("bad", bad);
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => line.classList.remove("on"), bad ? 6000 : 2200);
}

addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  const kind = key === " " || key === "enter" ? "done" : key === "escape" || key === "s" ? "skipped" : null;
  if (kind === null) return;
  event.preventDefault();
  answer(kind);
});
$("done").addEventListener("click", () => answer("done"));
$("skip").addEventListener("click", () => answer("skipped"));

// --- the line to the gateway

let link = "connecting";
let source = null;
let lastId = "";

function setLink(state) {
  link = state;
  drawLink();
  if (current === null) calm();
}

function drawLink() {
  let state = link;
  let text = T[state];
  if (state === "live") {
    const still = performance.now() - movedAt;
    if (ended) {
      state = "ended";
      text = T.ended;
    } else if (lastTickMs !== null && still > STALE_MS) {
      state = "stale";
      text = T.stale(Math.floor(still / 1000));
    }
  }
  $("link").dataset.state = state;
  if ($("link").lastElementChild.textContent !== text) $("link").lastElementChild.textContent = text;
}

function listen(name, act) {
  source.addEventListener(name, (event) => {
    if (event.lastEventId) lastId = event.lastEventId;
    const data = JSON.parse(event.data);
    hearClock(data.now_ms);
    act(data);
    show();
  });
}

function connect() {
  source = new EventSource(`${base}/prompts?audience=host${lastId ? `&last_event_id=${lastId}` : ""}`);
  source.onopen = () => setLink("live");
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return setLink("off");
    // Refused, not lost: the browser gives up on this, so we ask why, and come again.
    source.close();
    ask().then(setLink).finally(() => setTimeout(connect, REOPEN_MS));
  };
  listen("clock", (data) => {
    ended = Boolean(data.ended);
    if (current === null) calm();
  });
  listen("prompt", (prompt) => {
    if (clockMs === null) hearClock(prompt.issued_ms);
    open.set(prompt.id, prompt);
  });
  listen("state", (data) => {
    if (CLOSED.has(data.state)) open.delete(data.id);
  });
}

async function ask() {
  try {
    const status = (await fetch(`${base}/numbers`, { credentials: "same-origin" })).status;
    return { 401: "denied", 403: "denied", 404: "waiting", 200: "full" }[status] || "off";
  } catch {
    return "off";
  }
}

// --- the frame

document.documentElement.lang = T.html;
document.title = `${T.page} · ${room}`;
$("mark").textContent = T.mark;
$("room").textContent = room;
$("done").firstElementChild.textContent = T.done;
$("done").lastElementChild.textContent = T.doneKey;
$("skip").firstElementChild.textContent = T.skip;
$("skip").lastElementChild.textContent = T.skipKey;
$("left").lastElementChild.textContent = T.seconds;
setLink("connecting");
connect();
setInterval(() => {
  show();
  drawLink();
}, TICK_MS);
new ResizeObserver(() => current !== null && fit()).observe($("prompt"));
document.fonts.ready.then(() => current !== null && fit());

// A tablet that falls asleep shows nothing; where this is refused, its own settings decide.
async function stayAwake() {
  try {
    if (document.visibilityState === "visible") await navigator.wakeLock.request("screen");
  } catch {
    // not supported, or not over plain HTTP
  }
}
document.addEventListener("visibilitychange", stayAwake);
stayAwake();
