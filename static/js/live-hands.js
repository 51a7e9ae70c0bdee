// What a person does at the screen of a machine that they control: keys, text however it comes, pointer, wheel, paste.

const EVERY = 25; // ms between two batches of moves
const MOST = 64; // events in a batch
const LONGEST_TEXT = 1000; // characters of one event: a message holds 8 KB
const BUTTONS = ["left", "middle", "right"];
const MODIFIERS = [["ctrlKey", "ctrl"], ["altKey", "alt"], ["metaKey", "meta"], ["shiftKey", "shift"]];
const KEYS = {
  Enter: "enter", Tab: "tab", Escape: "escape", Backspace: "backspace", Delete: "delete", Insert: "insert",
  ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right",
  Home: "home", End: "end", PageUp: "pageup", PageDown: "pagedown",
};
const GUARD = "\u00a0"; // stands in the field, so that a phone's keyboard has something to take away

const modifiers = (event) => MODIFIERS.filter(([name]) => event[name]).map(([, name]) => name);

export class Hands {
  // `surface` is what a pointer works on, `size` has the width and height of the machine's screen. `send` takes a batch
  // of events; `leave` is called when the person wants the keyboard back.
  constructor(surface, size, send, leave) {
    this.surface = surface;
    this.size = size;
    this.send = send;
    this.leave = leave;
    this.events = [];
    this.move = null;
    this.escaped = 0;
    this.field = document.createElement("textarea");
    this.field.className = "live-field";
    this.field.setAttribute("aria-label", "The machine's keyboard: what you type here goes to the machine");
    for (const name of ["autocomplete", "autocapitalize", "autocorrect"]) this.field.setAttribute(name, "off");
    this.field.spellcheck = false;
    this.field.value = GUARD;
    surface.after(this.field);
    this.stop = new AbortController();
    const listen = (target, name, does) =>
      target.addEventListener(name, does.bind(this), { signal: this.stop.signal, passive: false });
    listen(surface, "pointerdown", this.down);
    listen(surface, "pointermove", this.moved);
    listen(surface, "pointerup", this.up);
    listen(surface, "pointercancel", this.up);
    listen(surface, "wheel", this.wheel);
    listen(surface, "contextmenu", (event) => event.preventDefault());
    listen(this.field, "keydown", this.key);
    listen(this.field, "beforeinput", this.before);
    listen(this.field, "input", this.input);
    listen(this.field, "compositionend", this.input);
    listen(this.field, "paste", this.paste);
    this.timer = setInterval(() => this.flush(), EVERY);
  }

  close() {
    this.stop.abort();
    clearInterval(this.timer);
    this.field.remove();
  }

  // A letter of a keyboard goes at once; moves wait for the next batch.
  add(...event) {
    if (this.move) this.events.push(this.move);
    this.move = null;
    this.events.push(event);
    this.flush();
  }

  flush() {
    if (this.move) this.events.push(this.move);
    this.move = null;
    if (this.events.length) this.send(this.events.splice(0, MOST));
  }

  // Keys and text

  key(event) {
    if (event.isComposing || event.keyCode === 229) return;
    const held = modifiers(event);
    const name = KEYS[event.key] ?? (/^F([1-9]|1[0-2])$/.test(event.key) ? event.key.toLowerCase() : null);
    const plain = event.getModifierState("AltGraph") || !held.some((one) => one !== "shift");
    if (event.key === "Escape") this.escapes(event);
    if (name) {
      event.preventDefault();
      this.add("key", name, held);
    } else if (event.key.length === 1 && !plain) {
      if (!held.includes("alt") && event.key.toLowerCase() === "v") return; // comes as a paste
      event.preventDefault();
      this.add("key", event.key, held);
    }
    event.stopPropagation(); // no shortcut of the page
  }

  // Escape is the machine's; twice in a row is how one gets out with a keyboard.
  escapes(event) {
    const again = event.timeStamp - this.escaped < 400;
    this.escaped = event.timeStamp;
    if (again) this.leave();
  }

  before(event) {
    if (event.isComposing) return;
    if (event.inputType === "deleteContentBackward") this.take(event, "backspace");
    else if (event.inputType === "deleteContentForward") this.take(event, "delete");
    else if (event.inputType === "insertLineBreak") this.take(event, "enter");
  }

  take(event, name) {
    event.preventDefault();
    this.add("key", name, []);
  }

  // A letter, a dead key with its letter, a word of a phone's keyboard, signs of an input method: they all end up here.
  input(event) {
    if (event.isComposing) return;
    const text = this.field.value.replace(GUARD, "");
    this.field.value = GUARD;
    this.field.setSelectionRange(1, 1);
    if (text) this.text(text);
  }

  paste(event) {
    event.preventDefault();
    this.text(event.clipboardData.getData("text/plain"));
  }

  text(text) {
    const characters = [...text.replace(/\r\n?/g, "\n")].filter((one) => one === "\n" || one === "\t" || one >= " ");
    while (characters.length) this.add("text", characters.splice(0, LONGEST_TEXT).join(""));
  }

  // Pointer

  // Where on the machine's screen: the picture may be shown smaller, and in the middle of a larger box.
  point(event) {
    const box = this.surface.getBoundingClientRect();
    const scale = Math.min(box.width / this.size.width, box.height / this.size.height);
    const x = (event.clientX - box.left - (box.width - this.size.width * scale) / 2) / scale;
    const y = (event.clientY - box.top - (box.height - this.size.height * scale) / 2) / scale;
    const inside = (value, size) => Math.max(0, Math.min(size - 1, Math.round(value)));
    return [inside(x, this.size.width), inside(y, this.size.height)];
  }

  down(event) {
    event.preventDefault();
    this.field.focus({ preventScroll: true });
    this.surface.setPointerCapture(event.pointerId);
    const [x, y] = this.point(event);
    const last = this.last;
    const again = last && event.timeStamp - last.at < 500 && Math.hypot(x - last.x, y - last.y) < 5;
    this.last = { x, y, at: event.timeStamp, count: again && last.count < 3 ? last.count + 1 : 1 };
    this.add("move", x, y, modifiers(event));
    this.button("down", event, x, y);
  }

  up(event) {
    this.button("up", event, ...this.point(event));
  }

  button(kind, event, x, y) {
    const name = BUTTONS[event.button] ?? "left";
    this.add(kind, x, y, name, this.last?.count ?? 1, modifiers(event));
  }

  moved(event) {
    this.move = ["move", ...this.point(event), modifiers(event)];
  }

  wheel(event) {
    event.preventDefault();
    const unit = [1, 40, this.size.height][event.deltaMode];
    const by = [event.deltaX, event.deltaY].map((delta) => Math.round(Math.max(-5000, Math.min(5000, delta * unit))));
    if (by.some(Boolean)) this.add("wheel", ...this.point(event), ...by);
  }
}
