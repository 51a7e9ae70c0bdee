// The socket pokes, the page asks. While the socket is down the page says so, and no decision is sent.
import { hearTeam } from "./queue.js";
import { hold as holdButton } from "./read-before-deciding.js";
import { clock } from "./times.js";

/* global htmx */

const SILENCE = 40_000; // ms: the server beats every 15 s
const GAP = 250; // ms between two refreshes
const SETTLING = 200; // ms that htmx may need after an answer
const STOPPED = 5000; // ms between two looks of a page over which a stop stands: a run's socket does not tell of it
const PATIENCE = 1500; // ms before a lost socket is called offline

let socket = null;
let tries = 0;
let heard = 0;
let asOf = new Date();
let offline = false;
let unsent = false; // a decision was clicked, and no answer came
let complaint = 0;
let planned = 0;
let answered = 0;
let refreshed = 0;
let leaving = false;

const address = () => {
  const path = document.body.dataset.socket;
  return path && new URL(path, location.href.replace(/^http/, "ws")).href;
};
const ended = () => document.querySelector("#live")?.hasAttribute("data-ended");

// At once after a quiet time; never beside another request, nor before its answer has settled: it may lead elsewhere.
function refresh(spread = 0) {
  if (planned || leaving) return;
  plan(Math.max(0, GAP - (Date.now() - refreshed)) + Math.random() * spread);
}

function plan(delay) {
  planned = setTimeout(() => {
    planned = 0;
    if (leaving) return;
    if (document.querySelector(".htmx-request") || Date.now() - answered < SETTLING) {
      plan(GAP);
      return;
    }
    refreshed = Date.now();
    htmx.trigger(document.body, "poke");
  }, delay);
}

// A page of the queue has no use for the steps of runs, unless it follows the receipt of a decision.
function concerns(message) {
  if (message.run) return true;
  if (!message.team) return false;
  return document.body.dataset.only !== "queue" || message.queue || document.querySelector("[data-unfinished]");
}

function hold() {
  document.querySelectorAll("[data-decides]").forEach((b) => {
    b.toggleAttribute("data-offline", offline);
    holdButton(b);
  });
}

function tell() {
  const banner = document.getElementById("offline");
  const now = `Offline: showing the page as of ${clock(asOf)}. Decisions cannot be sent until the connection is back.`;
  const after = "The connection is back. If the request still waits, your decision did not arrive: decide again.";
  banner.hidden = !offline && !unsent;
  banner.querySelector("[data-offline-text]").textContent = offline ? now : unsent ? after : "";
}

function say(down) {
  if (offline === down) return;
  offline = down;
  tell();
  hold();
}

function settled() {
  if (unsent && !offline && !document.querySelector("[data-decides]")) {
    unsent = false;
    tell();
  } // nothing waits any more
  hold();
}

const decides = (element) => Boolean(element?.closest?.("[data-decide-form]"));

// While offline nothing is sent, and afterwards the page says so.
function guard(event) {
  if (!offline || !decides(event.target)) return;
  unsent = true;
  event.preventDefault();
  event.stopImmediatePropagation();
}

function missed(event) {
  if (!decides(event.target)) return;
  unsent = true;
  say(true);
}

// What was refused is always said. The server's words stand above the page; without any there is at least its status.
function refused(event) {
  const { xhr } = event.detail;
  if (!decides(event.target) || xhr.getResponseHeader("HX-Retarget")) return;
  const words = `Nothing was decided: the server answered ${xhr.status}. Load the page again, then decide again.`;
  document.getElementById("refusal").textContent = words;
}

function takeWords(event) {
  if (event.detail.xhr.status >= 400 && event.detail.xhr.getResponseHeader("HX-Retarget"))
    event.detail.shouldSwap = true;
}

function arrived(event) {
  answered = Date.now();
  if (!event.detail.successful) return;
  if (event.detail.requestConfig.verb !== "get") document.getElementById("refusal").textContent = "";
  asOf = new Date();
  if (unsent && decides(event.target)) {
    unsent = false;
    tell();
  }
}

function lost() {
  if (!complaint) complaint = setTimeout(() => say(true), PATIENCE);
  const wait = Math.min(15_000, 500 * 2 ** Math.min(tries, 5)) * (0.75 + Math.random() / 2);
  tries += 1;
  setTimeout(connect, wait);
}

function found() {
  clearTimeout(complaint);
  complaint = 0;
  if (tries) refresh(); // fills the gap
  tries = 0;
  say(false);
}

function connect() {
  if (socket && socket.readyState < WebSocket.CLOSING) return;
  socket = new WebSocket(address());
  const mine = socket;
  mine.onmessage = (event) => {
    heard = Date.now();
    const message = JSON.parse(event.data);
    if (message.hello) found();
    hearTeam(message, (words) => {
      if (mine.readyState === WebSocket.OPEN) mine.send(JSON.stringify(words));
    });
    if (concerns(message)) refresh((message.queue?.spread ?? 0) * 1000);
  };
  mine.onclose = (event) => {
    if (leaving) return;
    if (event.code === 4401) {
      location.reload();
      return;
    }
    if (event.code === 4404 || (ended() && !offline)) return;
    lost();
  };
}

export function startLive() {
  if (!address() || !window.htmx) return;
  heard = Date.now();
  connect();
  setInterval(() => {
    if (socket?.readyState === WebSocket.OPEN && Date.now() - heard > SILENCE) socket.close();
  }, 5000);
  setInterval(() => {
    if (!document.hidden && document.querySelector(".stopbar")) refresh();
  }, STOPPED);
  window.addEventListener("offline", () => {
    say(true);
    socket?.close();
  });
  window.addEventListener("online", () => {
    tries = Math.max(1, tries);
    connect();
  });
  document.body.addEventListener("htmx:afterRequest", arrived);
  document.body.addEventListener("htmx:afterSettle", settled);
  document.body.addEventListener("htmx:beforeSwap", takeWords);
  document.body.addEventListener("htmx:responseError", refused);
  document.addEventListener("submit", guard, true);
  document.body.addEventListener("htmx:beforeRequest", guard);
  document.body.addEventListener("htmx:sendError", missed);
  window.addEventListener("beforeunload", () => {
    leaving = true;
    htmx.trigger("#live", "htmx:abort");
  });
  window.addEventListener("pageshow", () => {
    leaving = false;
  });
  window.addEventListener("pagehide", () => socket?.close());
}
