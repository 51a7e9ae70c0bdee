// The screen of a machine as it happens: pictures of a websocket, drawn on a canvas. Without it there is one picture.

import { Hands } from "./live-hands.js";
import { TerminalView } from "./live-terminal.js";
import { clock } from "./times.js";

const LAST_WORDS = [4401, 4403, 4404, 4429]; // close codes after which nobody asks again
const SILENCE = 40_000; // ms: the server beats every 15 s
const LONGEST_PAUSE = 10_000; // ms between two tries
const ASK_AGAIN = 20_000; // ms
const HEADER = 4; // bytes in front of a picture: its age in ms

const screens = new Map();

export class LiveScreen {
  // `token`: of a link, for who has no session.
  constructor(box, token = "") {
    this.box = box;
    this.token = token;
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.tries = 0;
    this.at = 0; // when the picture that is shown was taken
    this.control = null;
    this.watching = [];
    this.away = "";
    this.ended = "";
    this.refused = "";
    this.hands = null;
    this.greeted = false;
    this.present();
    const view = box.querySelector("[data-live-view]");
    const picture = view.querySelector("img");
    this.canvas.setAttribute("aria-label", picture.alt);
    this.canvas.width = picture.getAttribute("width");
    this.canvas.height = picture.getAttribute("height");
    this.canvas.hidden = true;
    this.isText = box.dataset.liveKind === "terminal";
    this.surface = this.canvas; // what a pointer works on
    view.append(this.canvas);
    this.picture = picture;
    box.querySelector("[data-live-bar]").hidden = false;
    for (const button of box.querySelectorAll("[data-live-do]")) {
      button.addEventListener("click", () => this[button.dataset.liveDo]());
    }
    this.connect();
    this.timer = setInterval(() => this.tick(), 1000);
  }

  // Until the server has answered, a form with a picture stands in its place: it is all there is without websockets.
  present() {
    const form = document.querySelector("[data-instead-of-live]");
    const stands = Boolean(form) && !this.greeted;
    this.box.hidden = stands;
    if (form) form.hidden = !stands;
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  say(message) {
    if (this.open) this.socket.send(JSON.stringify(message));
  }

  connect() {
    const address = new URL(this.box.dataset.liveScreen, location.href.replace(/^http/, "ws"));
    if (this.isText) address.searchParams.set("text", "1");
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard = Date.now();
    socket.onopen = () => {
      if (this.token) socket.send(this.token);
    };
    socket.onmessage = ({ data }) => {
      this.heard = Date.now();
      if (typeof data === "string") this.hear(JSON.parse(data));
      else this.draw(data, socket);
    };
    socket.onclose = ({ code }) => this.lost(code);
  }

  lost(code) {
    if (this.left) return;
    if (LAST_WORDS.includes(code)) {
      this.ended = code === 4429 ? "Too many people watch this screen" : "No longer shown";
      ask(); // the page says why
    } else {
      this.tries += 1;
      setTimeout(() => this.left || this.connect(), Math.min(LONGEST_PAUSE, 250 * 2 ** Math.min(this.tries, 6)));
    }
    this.tell();
  }

  hear(message) {
    const before = JSON.stringify([this.control, this.status]);
    if (message.hello) {
      this.tries = 0;
      this.greeted = true;
      this.present();
      if (!this.at) {
        this.canvas.width = message.width;
        this.canvas.height = message.height;
      }
      if (document.hidden) this.say({ pause: true });
    }
    if (message.refused) this.refusedAt = Date.now();
    for (const name of ["control", "status", "watching", "away", "refused", "asks"]) {
      if (name in message) this[name] = message[name];
    }
    if (!message.hello && before !== JSON.stringify([this.control, this.status])) ask();
    this.handOver();
    this.tell();
  }

  // The machine is in this person's hands, or it is not: the server says so, and takes nothing from anybody else.
  handOver() {
    const lease = this.control?.mine && this.box.hasAttribute("data-live-typing") ? this.control.lease : "";
    if (lease && !this.hands && (!this.isText || this.surface !== this.canvas)) {
      const send = (events) => this.say({ lease: this.control.lease, events });
      this.hands = new Hands(this.surface, this.canvas, send, () => this.out());
    } else if (!lease && this.hands) {
      this.hands.close();
      this.hands = null;
    }
    this.box.classList.toggle("is-mine", Boolean(lease));
  }

  // Out of the screen with the keyboard: to its first button.
  out() {
    this.box.querySelector('[data-live-do="size"]').focus();
  }

  async draw(data, socket) {
    const age = new DataView(data).getUint32(0);
    const at = Date.now() - age;
    try {
      if (this.isText) {
        await this.drawText(new Uint8Array(data, HEADER));
        this.shown(at);
        return;
      }
      const picture = await createImageBitmap(new Blob([new Uint8Array(data, HEADER)], { type: "image/jpeg" }));
      this.canvas.getContext("2d").drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
      picture.close();
      this.canvas.hidden = false;
      this.shown(at);
    } finally {
      if (socket.readyState === WebSocket.OPEN) socket.send('{"seen":1}');
    }
  }

  shown(at) {
    this.at = at;
    this.away = "";
    this.picture.hidden = true;
    this.tell();
  }

  async drawText(text) {
    const view = this.box.querySelector("[data-live-view]");
    this.terminal ??= TerminalView.open(view, this.canvas.width, this.canvas.height);
    const terminal = await this.terminal;
    this.surface = terminal.element;
    this.handOver();
    await terminal.draw(text);
  }

  tick() {
    if (!this.box.isConnected) {
      this.close();
      return;
    }
    if (this.open && Date.now() - this.heard > SILENCE) this.socket.close();
    this.tell();
  }

  close() {
    this.left = true;
    this.hands?.close();
    this.terminal?.then((terminal) => terminal.close());
    clearInterval(this.timer);
    this.socket.close();
    screens.delete(this.box);
  }

  // What the picture is worth: whether it is the screen of now, and since when it has looked like this.
  tell() {
    const live = this.open && !this.away && !this.ended && this.at > 0;
    const state = this.box.querySelector("[data-live-state]");
    const refused = Date.now() - (this.refusedAt ?? 0) < 5000 ? this.refused : "";
    set(this.box.querySelector("[data-live-refused]"), refused);
    const asks = this.control?.mine && this.asks?.length ? `${this.asks.join(", ")} would like to have control` : "";
    set(this.box.querySelector("[data-live-asks]"), asks);
    const button = this.box.querySelector('[data-live-do="ask"]');
    if (button) button.hidden = !this.control || this.control.mine;
    const words = this.ended || (this.open ? this.away : "Reconnecting") || (live ? "Live" : "Connecting");
    set(state, words);
    state.classList.toggle("is-now", live);
    set(this.box.querySelector("[data-live-age]"), this.at ? this.age(live) : "");
    const others = this.watching.join(", ");
    set(this.box.querySelector("[data-live-watching]"), others ? `Watching: ${others}` : "");
  }

  age(live) {
    const seconds = Math.floor((Date.now() - this.at) / 1000);
    const when = seconds < 2 ? "now" : seconds < 60 ? `${seconds} s ago` : `at ${clock(new Date(this.at))}`;
    return live ? `last change ${when}` : `as of ${clock(new Date(this.at))}`;
  }

  // Buttons

  ask() {
    this.say({ ask: 1 });
    const button = this.box.querySelector('[data-live-do="ask"]');
    button.disabled = true; // one question is enough for a while
    setTimeout(() => {
      button.disabled = false;
    }, ASK_AGAIN);
  }

  size() {
    const real = this.box.classList.toggle("is-real-size");
    this.box.querySelector('[data-live-do="size"]').setAttribute("aria-pressed", real);
    this.terminal?.then((terminal) => terminal.fit());
  }

  full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.box.requestFullscreen?.();
  }
}

const ask = () => window.htmx?.trigger(document.body, "look");

function set(element, words) {
  if (element && element.textContent !== words) element.textContent = words;
}

function begin() {
  for (const box of document.querySelectorAll("[data-live-screen]")) {
    if (screens.has(box)) screens.get(box).present();
    else screens.set(box, new LiveScreen(box));
  }
}

// Whether the page shows a screen that comes by itself, so that it need not be asked for.
export const isLive = () => [...screens.values()].some((screen) => screen.open);

export function startLiveScreen() {
  if (!window.htmx || !window.WebSocket) return;
  begin();
  document.body.addEventListener("htmx:afterSettle", begin);
  document.addEventListener("visibilitychange", () => {
    for (const screen of screens.values()) screen.say({ pause: document.hidden });
  });
  window.addEventListener("offline", () => {
    for (const screen of screens.values()) screen.socket.close();
  });
  window.addEventListener("pagehide", () => {
    for (const screen of [...screens.values()]) screen.close();
  });
  window.addEventListener("pageshow", begin);
}
