// Turns a textarea with data-code into an editor, checks the text as one types, and keeps the drawing in step with it.
// The editor stands in a shadow root: there its style sheets are objects, which the Content-Security-Policy allows.
import {
  bracketMatching,
  defaultKeymap,
  EditorState,
  EditorView,
  foldGutter,
  foldKeymap,
  forEachDiagnostic,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSelectionMatches,
  HighlightStyle,
  history,
  historyKeymap,
  indentOnInput,
  indentWithTab,
  json,
  keymap,
  lineNumbers,
  lintGutter,
  lintKeymap,
  search,
  searchKeymap,
  setDiagnostics,
  syntaxHighlighting,
  tags,
} from "../vendor/codemirror.js";

/* global htmx */

const PAUSE = 350; // ms without a key before the text is checked

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--accent)" },
  { tag: tags.string, color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--hands)" },
  { tag: [tags.separator, tags.squareBracket, tags.brace], color: "var(--text-soft)" },
  { tag: tags.invalid, color: "var(--bad)" },
]);
const CONTROL = {
  font: "inherit",
  color: "var(--text)",
  backgroundColor: "var(--raised)",
  border: "1px solid var(--line-control)",
  borderRadius: "var(--radius-small)",
  backgroundImage: "none",
};
const look = EditorView.theme({
  "&": {
    color: "var(--text)",
    backgroundColor: "var(--raised)",
    border: "1px solid var(--line-control)",
    borderRadius: "var(--radius-small)",
    fontSize: "0.8125rem",
  },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "1px" },
  ".cm-scroller": {
    fontFamily: "var(--mono)",
    lineHeight: "1.55",
    maxHeight: "var(--editor-height, 70vh)",
    minHeight: "6rem",
    overflow: "auto",
  },
  ".cm-content": { caretColor: "var(--text)", padding: "0.375rem 0" },
  ".cm-content ::selection, .cm-line::selection": { backgroundColor: "var(--chosen)" },
  ".cm-gutters": {
    backgroundColor: "var(--sunken)",
    color: "var(--text-faint)",
    borderRight: "1px solid var(--line)",
    borderRadius: "var(--radius-small) 0 0 var(--radius-small)",
  },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--hover) 60%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--hover)", color: "var(--text)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": {
    backgroundColor: "var(--chosen)",
    outline: "1px solid var(--accent)",
  },
  ".cm-selectionMatch": { backgroundColor: "var(--chosen)" },
  ".cm-searchMatch": { backgroundColor: "var(--warn-ground)", outline: "1px solid var(--warn-line)" },
  ".cm-searchMatch-selected": { backgroundColor: "var(--warn-line)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--quiet-ground)", color: "var(--text-soft)", border: "0" },
  ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--text)", font: "var(--t-small) var(--font)" },
  ".cm-panels.cm-panels-top": {
    borderBottom: "1px solid var(--line)",
    borderRadius: "var(--radius-small) var(--radius-small) 0 0",
  },
  ".cm-panel.cm-search label": { fontSize: "var(--t-small)" },
  ".cm-panel.cm-search": { padding: "0.5rem 2rem 0.5rem 0.5rem" },
  ".cm-textfield, .cm-button": CONTROL,
  ".cm-panel.cm-search [name=close]": {
    color: "var(--text)",
    fontSize: "1.25rem",
    width: "1.75rem",
    height: "1.75rem",
    cursor: "pointer",
  },
  ".cm-tooltip": {
    backgroundColor: "var(--raised)",
    color: "var(--text)",
    border: "1px solid var(--line)",
    borderRadius: "var(--radius-small)",
    boxShadow: "var(--shadow-high)",
    font: "var(--t-small) / 1.45 var(--font)",
    maxWidth: "min(32rem, 80vw)",
  },
  ".cm-diagnostic-error": { borderLeft: "4px solid var(--bad)" },
  ".cm-diagnostic-warning": { borderLeft: "4px solid var(--warn)" },
  ".cm-lintRange-error": {
    backgroundImage: "none",
    textDecoration: "underline wavy var(--bad)",
    textDecorationSkipInk: "none",
  },
  ".cm-lintRange-warning": {
    backgroundImage: "none",
    textDecoration: "underline wavy var(--warn)",
    textDecorationSkipInk: "none",
  },
  ".cm-lint-marker": { width: "0.9em", height: "0.9em" },
  ".cm-lint-marker-error": { content: "none", color: "var(--bad)" },
  ".cm-lint-marker-warning": { content: "none", color: "var(--warn)" },
  ".cm-lint-marker-error::before": { content: "'✕'", fontWeight: "700" },
  ".cm-lint-marker-warning::before": { content: "'▲'", fontWeight: "700" },
});

const editors = new Map(); // name of the textarea -> its editor
let form = null;
let dirty = false;
let planned = 0;

function saveKey() {
  form.requestSubmit(form.querySelector("[data-save]"));
  return true;
}

function extensions(area, changed) {
  return [
    lineNumbers(),
    lintGutter(),
    foldGutter(),
    history(),
    indentOnInput(),
    bracketMatching(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    highlightSelectionMatches(),
    search({ top: true }),
    json(),
    syntaxHighlighting(colours),
    look,
    EditorView.lineWrapping,
    keymap.of([
      { key: "Mod-s", run: saveKey },
      indentWithTab,
      ...defaultKeymap,
      ...historyKeymap,
      ...searchKeymap,
      ...foldKeymap,
      ...lintKeymap,
    ]),
    EditorView.contentAttributes.of({
      "aria-label": `${area.dataset.code}. Press Escape, then Tab, to leave the editor.`,
    }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) changed(update.state.doc.toString());
    }),
  ];
}

// The textarea stays what is sent; the editor writes into it.
function enhance(area) {
  const host = document.createElement("div");
  host.className = "code";
  if (area.dataset.height) host.classList.add(`code-${area.dataset.height}`);
  const root = host.attachShadow({ mode: "open" });
  area.after(host);
  area.hidden = true;
  const changed = (text) => {
    area.value = text;
    dirty = true;
    check();
  };
  const view = new EditorView({
    state: EditorState.create({ doc: area.value, extensions: extensions(area, changed) }),
    root,
    parent: root,
  });
  view.scrollDOM.tabIndex = 0; // it scrolls by keys without being written in
  editors.set(area.name, view);
  document.querySelector(`label[for="${area.id}"]`)?.addEventListener("click", () => view.focus());
}

function check() {
  clearTimeout(planned);
  planned = setTimeout(
    () => htmx.ajax("POST", form.dataset.check, { source: form, target: "#checked", swap: "morph:outerHTML" }),
    PAUSE,
  );
}

// Columns are counted in characters, the editor counts in units of UTF-16.
function offset(doc, line, column) {
  const found = doc.line(Math.min(Math.max(1, line), doc.lines));
  return Math.min(found.to, found.from + [...found.text].slice(0, column - 1).join("").length);
}

function problems(name, doc) {
  return [...document.querySelectorAll(`#checked [data-problem="${name}"]`)].map((item) => {
    const { line, column, end, severity } = item.dataset;
    const from = offset(doc, Number(line), Number(column));
    return { from, to: Math.max(from, offset(doc, Number(line), Number(end))), severity, message: item.dataset.says };
  });
}

function sameAsShown(state, found) {
  const shown = [];
  forEachDiagnostic(state, (each, from, to) => shown.push([from, to, each.message]));
  return JSON.stringify(shown) === JSON.stringify(found.map((each) => [each.from, each.to, each.message]));
}

function showProblems() {
  for (const [name, view] of editors) {
    const found = problems(name, view.state.doc).sort((a, b) => a.from - b.from);
    if (!sameAsShown(view.state, found)) view.dispatch(setDiagnostics(view.state, found));
  }
}

function goTo(name, from, to = from) {
  const view = editors.get(name);
  view.dom.getRootNode().host.closest("details")?.setAttribute("open", "");
  view.dispatch({ selection: { anchor: from, head: to }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
  view.focus();
}

function toLine(event) {
  const link = event.target.closest("[data-goto]");
  const view = link && editors.get(link.dataset.goto);
  if (!view) return;
  event.preventDefault();
  goTo(link.dataset.goto, offset(view.state.doc, Number(link.dataset.line), Number(link.dataset.column)));
}

// A step of the drawing leads to its text.
function toStep(event) {
  const node = event.target.closest(".graph-node");
  const view = node && editors.get("definition");
  const id = node?.getAttribute("href").slice("#step-".length);
  const found = view && new RegExp(`"id"\\s*:\\s*"${id}"`).exec(view.state.doc.toString());
  if (!found) return;
  event.preventDefault();
  goTo("definition", found.index, found.index + found[0].length);
}

function start() {
  form = document.querySelector("[data-workflow-form]");
  if (!form || !window.htmx) return;
  dirty = form.hasAttribute("data-unsaved");
  form.querySelectorAll("textarea[data-code]").forEach(enhance);
  form.addEventListener("input", (event) => {
    if (event.target.name) {
      dirty = true;
      check();
    }
  });
  form.addEventListener("submit", () => {
    dirty = false;
  });
  form.addEventListener("click", (event) => {
    toLine(event);
    toStep(event);
  });
  document.body.addEventListener("htmx:afterSettle", showProblems);
  window.addEventListener("beforeunload", (event) => {
    if (dirty) event.preventDefault();
  });
  showProblems();
}

start();
