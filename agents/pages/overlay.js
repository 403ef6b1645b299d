// The progress of a running offer, for the broadcast picture. It hears no prompts, and shows nothing it is not sure of.
"use strict";

const WORDS = {
  zh: {
    html: "zh-CN", price: (p) => `${p}元福利`, of: (s, q) => `已拍 ${s}/${q}`, sold: (s) => `已拍 ${s}`,
    only: (q) => `共 ${q} 件`, out: "已拍完", over: "本轮已结束", left: (t) => `还有 ${t}`,
  },
  en: {
    html: "en", price: (p) => `Offer ¥${p}`, of: (s, q) => `${s} of ${q} taken`, sold: (s) => `${s} taken`,
    only: (q) => `${q} pieces`, out: "All taken", over: "Ended", left: (t) => `${t} left`,
  },
};
const TICK_MS = 250;
const JUMP_MS = 10000;
const SILENT_MS = 15000; // an old count in the picture is a wrong count
const LAST_LOOK_MS = 5000;
const REOPEN_MS = 2000;

const query = new URLSearchParams(location.search);
const T = WORDS[(query.get("lang") || "").toLowerCase().startsWith("en") ? "en" : "zh"];
const room = decodeURIComponent(location.pathname.split("/")[2] || "");
const $ = (id) => document.getElementById(id);
document.documentElement.lang = T.html;
if (query.has("token")) {
  query.delete("token");
  history.replaceState(null, "", location.pathname + (query.size ? `?${query}` : ""));
}

let clockMs = null;
let clockAt = 0;
let lastTickMs = null;
let heardAt = performance.now();
const offers = new Map();

function roomNow() {
  return clockMs === null ? null : clockMs + (performance.now() - clockAt);
}

function hearClock(ms) {
  if (typeof ms !== "number" || ms === lastTickMs) return;
  heardAt = performance.now();
  lastTickMs = ms;
  const here = roomNow();
  if (here === null || ms > here || ms < here - JUMP_MS) {
    clockMs = ms;
    clockAt = heardAt;
  }
}

function minor(amount) {
  return (amount / 100).toFixed(2).replace(/\.?0+$/, "");
}

function minutes(ms) {
  const seconds = Math.ceil(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function present() {
  let best = null;
  for (const [id, offer] of offers) {
    const gone = offer.state === "ended" && performance.now() - offer.endedAt > LAST_LOOK_MS;
    if (gone) offers.delete(id);
    else if (offer.state !== "ready" && (best === null || (offer.at_ms || 0) >= (best.at_ms || 0))) best = offer;
  }
  return best;
}

function draw() {
  const offer = present();
  const now = roomNow();
  const left = offer !== null && offer.until && now !== null ? offer.until - now : null;
  const silent = performance.now() - heardAt > SILENT_MS;
  const late = left !== null && left <= -LAST_LOOK_MS;
  $("offer").hidden = offer === null || silent || late;
  if ($("offer").hidden) return;
  const { quantity, sold, price } = offer;
  const counted = typeof sold === "number";
  const limited = typeof quantity === "number" && quantity > 0;
  const over = offer.state === "ended" || (left !== null && left <= 0);
  const out = limited && counted && sold >= quantity;
  text("price", typeof price === "number" ? T.price(minor(price)) : "");
  text("name", offer.name || "");
  text("sold", counted ? (limited ? T.of(Math.min(sold, quantity), quantity) : T.sold(sold)) : limited ? T.only(quantity) : "");
  text("time", out ? T.out : over ? T.over : left !== null ? T.left(minutes(left)) : "");
  $("track").hidden = !(limited && counted);
  $("bar").style.transform = `scaleX(${limited && counted ? Math.min(1, sold / quantity) : 0})`;
}

function text(id, words) {
  if ($(id).textContent !== words) $(id).textContent = words;
}

let lastId = "";
function connect() {
  const source = new EventSource(`/v1/rooms/${encodeURIComponent(room)}/offers${lastId ? `?last_event_id=${lastId}` : ""}`);
  const listen = (name, act) => source.addEventListener(name, (event) => {
    if (event.lastEventId) lastId = event.lastEventId;
    const data = JSON.parse(event.data);
    hearClock(data.now_ms);
    act(data);
    draw();
  });
  listen("clock", () => {});
  listen("offer", (offer) => {
    const known = offers.get(offer.offer);
    if (offer.state === "ended" && known === undefined) return;
    offers.set(offer.offer, { ...offer, endedAt: offer.state === "ended" ? performance.now() : 0 });
  });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, REOPEN_MS);
  };
}

connect();
setInterval(draw, TICK_MS);
