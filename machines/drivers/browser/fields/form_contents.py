"""What a press on a page would send: the values of its form, or of the part of the page that it stands in.

Values are read as they are, for comparing; those of secret fields are marked and told to nobody.
"""

from typing import Any

from machines.drivers.base import Action, Content, Contents
from machines.drivers.browser.dialogs import Dialog
from machines.drivers.browser.input.element_nodes import Nodes
from machines.drivers.browser.input.reach import Node
from machines.drivers.browser.page.page_script import WALK

KEYS = frozenset({"key_press", "key_combo", "type_text"})
_FIELDS = frozenset(
    {"textbox", "searchbox", "spinbutton", "combobox", "slider", "checkbox", "radio", "switch", "listbox", "option"}
)
_MOST = 200  # fields
_LONGEST = 100_000  # characters of one value that are compared

# Fields are told in the order of the page. A hidden field that a page renews by itself is left out by its name.
_SENDS = (
    """function (most) {"""
    + WALK
    + r"""
  const it = thing(this), all = method(Element, 'querySelectorAll'), uncovered = [];
  if (!it) return null;
  let form = is(it, 'button', 'fieldset', 'input', 'output', 'select', 'textarea') ? it.form : null;
  for (let e = it; e && !form; e = up(e)) if (is(e, 'form')) form = e;
  const goes = (attribute(it, 'href') || '').trim();
  if (!form && is(it, 'a', 'area') && goes && !/^(#|javascript:)/i.test(goes) && !it.hasAttribute('onclick')) return null;
  let part = form;
  for (let e = it; e && !part; e = up(e))
    if (isElement(e) && fits(e, 'dialog,[role=dialog],[role=alertdialog],[role=form]')) part = e;
  part = part || document.documentElement;
  const RENEWED = /csrf|xsrf|token|nonce|captcha|timestamp|viewstate|session|request_?id/i;
  const SECRET = /^(current-password|new-password|one-time-code|cc-\S+)$/;
  const FIELD = 'input,select,textarea,[contenteditable]:not([contenteditable=false])';
  const found = [];
  const look = (root) => {
    for (const n of root.querySelectorAll ? (isElement(root) ? all(root, '*') : root.querySelectorAll('*')) : []) {
      if (fits(n, FIELD)) found.push(n);
      if (is(n, 'iframe', 'frame')) uncovered.push('fields in a frame of the page');
      if (n.shadowRoot) look(n.shadowRoot);
    }
  };
  look(part);
  const id = form && attribute(form, 'id');
  if (id) for (const n of document.querySelectorAll(FIELD)) if (n.form === form && !found.includes(n)) found.push(n);
  if (found.length > most) uncovered.push(`fields after the first ${most}`);
  const fields = [], seen = new Map();
  const words = (n) => [...n.childNodes].map((c) => isText(c) ? textOf(c) : is(c, 'select', 'textarea', 'input', 'button') ? ''
    : isElement(c) ? words(c) : '').join(' ');
  const called = (n) => short(attribute(n, 'aria-label')) || short(labelsOf(n).map(words).join(' ')) || nameOf(n);
  for (const n of found.slice(0, most)) {
    const editable = !is(n, 'input', 'select', 'textarea'), type = editable ? 'text' : n.type;
    if (['submit', 'reset', 'button', 'image'].includes(type)) continue;
    const own = attribute(n, 'name') || attribute(n, 'id') || '';
    if (type === 'hidden' && RENEWED.test(own)) continue;
    let name = editable ? short(attribute(n, 'aria-label')) || own || 'Text' : type === 'hidden' ? own : called(n) || own || type;
    const count = (seen.get(name) || 0) + 1;
    seen.set(name, count);
    if (count > 1) name += ` (${count})`;
    const token = (attribute(n, 'autocomplete') || '').toLowerCase().split(/\s+/).pop();
    const value = editable ? wordsOf(n) : ['checkbox', 'radio'].includes(type) ? (n.checked ? 'chosen' : 'not chosen')
      : is(n, 'select') ? [...n.selectedOptions].map((o) => o.label).join(', ')
      : type === 'file' ? [...n.files].map((f) => `${f.name}, ${f.size} bytes`).join('; ') : n.value;
    const more = is(n, 'select') ? [...n.selectedOptions].map((o) => o.value).join('\0')
      : type === 'file' ? [...n.files].map((f) => f.lastModified).join('\0') : ['checkbox', 'radio'].includes(type) ? n.value : '';
    fields.push({ name: name || 'field', value: String(value), more: String(more),
      secret: type === 'password' || SECRET.test(token || '') || secret(n) });
  }
  const place = (address) => { const u = new URL(address, document.baseURI); return u.origin + u.pathname; };
  const given = (name) => attribute(it, `form${name}`) || (form && attribute(form, name)) || '';
  let to = '';
  try { to = form ? `${given('method').toUpperCase() || 'GET'} ${place(given('action') || location.href)}` : ''; }
  catch { uncovered.push('where the form is sent'); }
  return { role: roleOf(it), page: place(location.href), to, fields, uncovered: [...new Set(uncovered)] };
}"""
)


async def contents(nodes: Nodes, action: Action, node: Node | None) -> Contents | None:
    """What a press on the node sends; None when it presses nothing that could send anything. Raises CdpError."""
    if node is None:
        return None
    sent = await nodes.call(node, _SENDS, _MOST)
    if not isinstance(sent, dict) or (action.name == "click" and sent["role"] in _FIELDS):
        return None
    items = [Content("address", "page", sent["page"], sent["page"])]
    items += [Content("address", "form", sent["to"], sent["to"])] if sent["to"] else []
    items += [_field(field) for field in sent["fields"]]
    return Contents(tuple(items), tuple(map(str, sent["uncovered"])))


def _field(field: dict[str, Any]) -> Content:
    value = str(field["value"])[:_LONGEST]
    return Content(
        "field", str(field["name"]), f"{value}\0{field['more']}"[:_LONGEST], value or "empty", bool(field["secret"])
    )


def of_dialog(dialog: Dialog) -> Contents:
    """What a dialog of the page answers when it is accepted."""
    return Contents((Content("field", dialog.message[:200], dialog.typed, dialog.typed or "empty"),))
