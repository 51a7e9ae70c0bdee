"""JavaScript that looks at fields and sets what cannot be typed. Runs in a world of its own, where a page's tricks with
prototypes do not reach; `this` is the field, unless the name says otherwise."""

# What a thing on a page takes: the one list (machines/drivers/browser/fields/filling.py) says what is done about each kind.
_KINDS = """
const up = (node) => node.assignedSlot || node.parentNode || node.host || null;
const roleOf = (e) => (e.getAttribute('role') || '').trim().split(/\\s+/)[0].toLowerCase();
const moments = ['date', 'time', 'month', 'week', 'datetime-local'];
const nothing = ['button', 'submit', 'reset', 'image', 'hidden'];
const ofInput = (type) => nothing.includes(type) ? 'none' : moments.includes(type) ? 'moment'
  : ['range', 'color', 'file'].includes(type) ? type : ['checkbox', 'radio'].includes(type) ? 'box' : 'text';
const kindOf = (e) => {
  if (e.localName === 'input') return ofInput(e.type);
  if (e.localName === 'textarea') return 'text';
  if (e.localName === 'select') return 'select';
  if (e.isContentEditable || e.localName === 'body' && e.ownerDocument.designMode === 'on') return 'editable';
  const role = roleOf(e), popup = e.getAttribute('aria-haspopup');
  if (role === 'combobox' || popup === 'listbox') return 'combobox';
  if (role === 'listbox') return 'listbox';
  if ((role === 'slider' || role === 'spinbutton') && e.hasAttribute('aria-valuenow')) return 'steps';
  if (role === 'textbox' || role === 'searchbox') return e.tabIndex >= 0 ? 'custom' : '';
  return ['checkbox', 'radio', 'switch'].includes(role) ? 'box' : '';
};
const host = (e) => {
  while (e.localName !== 'body' && e.parentElement && e.parentElement.isContentEditable) e = e.parentElement;
  return e.localName === 'html' ? e.ownerDocument.body : e;
};
const tidy = (text) => text.normalize('NFC').replace(/[\\u00ad\\u200b-\\u200d\\u2060\\ufeff]/g, '').replace(/\\s+/g, ' ').trim();
const seen = (e) => e.getClientRects().length > 0 && e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
const nameOf = (e) => tidy(e.getAttribute('aria-label') || e.innerText || e.textContent || '');
const optionsOf = (e) => {
  const root = e.getRootNode(), ids = [];
  for (const one of [e, ...e.querySelectorAll('[aria-controls], [aria-owns]')])
    ids.push(...`${one.getAttribute('aria-controls') || ''} ${one.getAttribute('aria-owns') || ''}`.split(/\\s+/));
  const lists = ids.filter(Boolean).map((id) => root.getElementById(id) || document.getElementById(id)).filter(Boolean);
  if (roleOf(e) === 'listbox') lists.push(e);
  const within = (place) => [...place.querySelectorAll('[role=option], [role=menuitemradio]')].filter(seen);
  for (const place of [...lists, root, document]) {
    const options = within(place).filter((one) => one.getAttribute('aria-disabled') !== 'true');
    if (options.length) return options;
  }
  return [];
};
const called = (options, wanted) => options.find((one) => nameOf(one) === tidy(wanted))
  || options.find((one) => nameOf(one).toLowerCase() === tidy(wanted).toLowerCase()) || null;
"""


def _script(parameters: str, body: str) -> str:
    return f"function({parameters}) {{ {_KINDS} {body} }}"


# `this` is any node: of a label its control, of a part the whole, of a wrapper around an input the input.
FIND = _script(
    "",
    """
  for (let node = this; node; node = up(node)) {
    if (node.nodeType !== 1) continue;
    if (node.localName === 'label' && node.control) return node.control;
    const kind = kindOf(node);
    if (kind === 'none') return null;
    if (kind === 'editable') return host(node);
    if (kind === 'combobox') return node.querySelector('input:not([type=hidden]), textarea') || node;
    if (kind) return node;
  }
  const page = this.ownerDocument || this;
  return page.designMode === 'on' ? page.body : null;
""",
)
DESCRIBE = _script(
    "",
    """
  const aria = (name) => this.getAttribute(`aria-${name}`) === 'true', kind = kindOf(this);
  const suggests = kind === 'text' && (roleOf(this) === 'combobox' || this.hasAttribute('aria-autocomplete')
    || !!this.parentElement && !!this.parentElement.closest('[role=combobox]'));
  const searches = this.type === 'search' || !!this.closest('search, [role=search]');
  return {
    kind, type: this.type || '', suggests, searches, tag: this.localName,
    locked: this.matches(':disabled') || !!this.readOnly || aria('disabled') || aria('readonly'),
    lines: this.localName === 'textarea' || kind === 'editable' && this.getAttribute('aria-multiline') !== 'false',
  };
""",
)
# Everything in it is selected, so that what is typed replaces it. Says whether keys will arrive here.
SELECT_ALL = _script(
    "",
    """
  if (this.localName === 'body') this.ownerDocument.defaultView.focus();  // a whole document that is edited
  if (this.select) this.select();
  else this.ownerDocument.getSelection().selectAllChildren(this);
  return this.getRootNode().activeElement === this && this.ownerDocument.hasFocus();
""",
)
READ = _script(
    "",
    """
  if (typeof this.value === 'string') return this.value;
  return this.innerText === undefined ? this.textContent : this.innerText.replace(/\\u00a0/g, ' ');
""",
)
# Boxes for one character each pass on what is typed: together they hold it.
READ_ROW = _script(
    "text",
    """
  const boxes = [...this.getRootNode().querySelectorAll('input')].filter((one) => kindOf(one) === 'text' && seen(one));
  let held = '';
  for (const box of boxes.slice(boxes.indexOf(this))) {
    held += box.value;
    if (held === text) return true;
    if (!text.startsWith(held) || !box.value) return false;
  }
  return false;
""",
)
SET = _script(
    "value",
    """
  this.focus();
  this.value = value;
  this.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
  this.dispatchEvent(new Event('change', { bubbles: true }));
  return { value: this.value, wrong: this.validationMessage || '' };
""",
)
# "#rrggbb" of any colour that CSS knows, null of what is none.
COLOR = _script(
    "text",
    """
  const written = /^[0-9a-f]{3}([0-9a-f]{3})?$/i.test(text) ? `#${text}` : text;
  if (!CSS.supports('color', written) || /^(currentcolor|inherit|initial|unset|revert)/i.test(written)) return null;
  const pen = document.createElement('canvas').getContext('2d');
  pen.fillStyle = written;
  return /^#[0-9a-f]{6}$/.test(pen.fillStyle) ? pen.fillStyle : null;
""",
)
RANGE = _script("", "return { now: Number(this.value), step: this.step === 'any' ? 0 : Number(this.step || 1) };")
STEPS = _script("", "return Number(this.getAttribute('aria-valuenow'));")
CHOOSE = _script(
    "wanted",
    """
  const options = [...this.options].filter((one) => !one.disabled && !one.closest('optgroup:disabled'));
  const text = (one) => tidy(one.label), want = tidy(wanted), low = want.toLowerCase();
  const ways = [(one) => text(one) === want, (one) => text(one).toLowerCase() === low, (one) => one.value === wanted];
  const fitting = ways.map((way) => options.filter(way)).find((some) => some.length) || [], option = fitting[0];
  if (new Set(fitting.map((one) => one.value)).size > 1) return { error: `The list has ${fitting.length} options "${want}".` };
  const known = options.slice(0, 20).map((one) => text(one).slice(0, 100)).join(', ');
  if (!option) return { error: `The list has no option "${want}". It has: ${known}.` };
  this.focus();
  if (this.multiple) option.selected = true; else this.selectedIndex = option.index;
  this.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
  this.dispatchEvent(new Event('change', { bubbles: true }));
  const held = [...this.selectedOptions].map(text);
  if (!held.includes(text(option))) return { error: `The list does not keep "${text(option)}". It shows: ${held.join(', ')}.` };
  return { selected: text(option) };
""",
)
OPTION = _script("wanted", "return called(optionsOf(this), wanted);")
OPTION_NAMES = _script("", "return optionsOf(this).slice(0, 20).map((one) => nameOf(one).slice(0, 100));")
# Is it chosen? In the field itself, in an option that says so, or in what stands around a field whose list is closed.
CHOSEN = _script(
    "wanted",
    """
  const want = tidy(wanted).toLowerCase(), is = (text) => tidy(text || '').toLowerCase() === want;
  const holds = typeof this.value === 'string' && this.localName !== 'button';
  const own = holds ? this.value : roleOf(this) === 'listbox' ? '' : this.innerText;
  if (is(own)) return true;
  const option = called(optionsOf(this), wanted);
  if (option) return option.getAttribute('aria-selected') === 'true' || option.getAttribute('aria-checked') === 'true';
  if (!holds && tidy(own || '').toLowerCase().includes(want)) return true;
  let around = this.parentElement;
  for (let level = 0; around && level < 3; level += 1, around = around.parentElement)
    if ([...around.querySelectorAll('*')].some((one) => !one.children.length && seen(one) && is(one.textContent))) return true;
  return false;
""",
)
FILES = _script("", "return [...this.files].map((file) => file.name);")
# `this` has the focus: "" = nothing that takes keys; "keys" = something that does with them what it likes.
FOCUS = _script(
    "",
    """
  const kind = kindOf(this), role = roleOf(this);
  if (kind && !['none', 'box', 'file', 'combobox'].includes(kind)) return kind;
  if (['body', 'html', 'a', 'area', 'button', 'summary', 'iframe', 'video', 'audio', 'input'].includes(this.localName))
    return this.localName === 'body' && this.isContentEditable ? 'editable' : kind === 'combobox' ? 'keys' : '';
  const pressed = ['button', 'link', 'tab', 'checkbox', 'radio', 'switch', 'img', 'dialog', 'alertdialog', 'document', 'main'];
  return pressed.includes(role) || !this.hasAttribute('tabindex') && this.localName !== 'canvas' ? '' : 'keys';
""",
)
NAME = _script("", "return nameOf(this);")
