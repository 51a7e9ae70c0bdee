// The live screen of a terminal as text, drawn by xterm.js: sharp at any size, and it can be marked and copied.

// xterm.js makes <style> elements, which the Content-Security-Policy forbids. While it is loaded and opened it gets
// something that looks like one and writes a constructed style sheet instead.
function styleLike() {
  const sheet = new CSSStyleSheet();
  const element = document.createElement("span");
  element.hidden = true;
  let text = "";
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(element, "textContent", {
    get: () => text,
    set: (value) => {
      text = value;
      sheet.replaceSync(value);
    },
  });
  Object.defineProperty(element, "sheet", { get: () => sheet });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}

let replaced = false;
function withoutStyleElements() {
  if (replaced) return;
  replaced = true;
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function (name, ...rest) {
    return name === "style" ? styleLike() : create.call(this, name, ...rest);
  };
}

const CELL = { width: 10, height: 20 }; // pixels of the machine's screen

// Those of machines/drivers/terminal/screen_cells.py.
const COLORS = {
  background: "#181a1f",
  foreground: "#dcdfe4",
  cursor: "#c9ced6",
  black: "#31353f",
  red: "#f07178",
  green: "#98c379",
  yellow: "#e5c07b",
  blue: "#61afef",
  magenta: "#c678dd",
  cyan: "#56b6c2",
  white: "#d0d4dc",
  brightBlack: "#6b7280",
  brightRed: "#ff8b92",
  brightGreen: "#b5e494",
  brightYellow: "#ffd894",
  brightBlue: "#82c8ff",
  brightMagenta: "#e09bf5",
  brightCyan: "#74d6e2",
  brightWhite: "#ffffff",
};

export class TerminalView {
  static async open(box, width, height) {
    withoutStyleElements();
    const [{ Terminal }, css] = await Promise.all([
      import("../vendor/xterm-6.0.0.mjs"),
      fetch(new URL("../vendor/xterm-6.0.0.css", import.meta.url)).then((answer) => answer.text()),
    ]);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    return new TerminalView(Terminal, box, width, height);
  }

  constructor(Terminal, box, width, height) {
    this.columns = Math.floor(width / CELL.width);
    this.box = box;
    this.element = document.createElement("div");
    this.element.className = "live-terminal";
    box.append(this.element);
    this.terminal = new Terminal({
      cols: this.columns,
      rows: Math.floor(height / CELL.height),
      scrollback: 0,
      disableStdin: true,
      cursorInactiveStyle: "block",
      fontFamily: "DejaVu Sans Mono, Menlo, Consolas, monospace",
      fontSize: 16,
      theme: COLORS,
    });
    this.terminal.open(this.element);
    this.sizes = new ResizeObserver(() => this.fit());
    this.sizes.observe(box);
  }

  // As wide as there is room, in whole pixels of the font; a cell is 0.602 of its size wide.
  fit() {
    const room = this.box.closest(".is-real-size") ? this.columns * CELL.width : this.box.clientWidth;
    const size = Math.max(5, Math.min(32, Math.floor(room / this.columns / 0.602)));
    if (size !== this.terminal.options.fontSize) this.terminal.options.fontSize = size;
  }

  draw(text) {
    return new Promise((done) => {
      this.terminal.write(text, done);
    });
  }

  close() {
    this.sizes.disconnect();
    this.terminal.dispose();
    this.element.remove();
  }
}
