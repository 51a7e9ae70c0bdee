"""JavaScript that everything which reads a page shares: walking up a page's trees, and what an element is called.

It runs in an isolated world of each frame: a page cannot see it there, nor break the functions it calls. What a page can
still do is to give a form a field named "parentNode"; hence the getters of the prototypes. A node that was moved here
from another frame may be of that frame's classes: what something is is asked of the node, not by `instanceof`.
"""

MARK = "data-countersign-secret"  # stands on what a secret was put into

# Names used by the functions that include it: up(node), element(node), thing(node), facts(element), secret(node).
WALK = r"""
  const MARK = 'data-countersign-secret';
  const getter = (type, name) => {
    const get = Object.getOwnPropertyDescriptor(type.prototype, name).get;
    return (node) => get.call(node);
  };
  const method = (type, name) => (node, ...rest) => type.prototype[name].apply(node, rest);
  const parentOf = getter(Node, 'parentNode'), kindOf = getter(Node, 'nodeType'), hostOf = getter(ShadowRoot, 'host');
  const textOf = getter(Node, 'textContent');
  const slotOfElement = getter(Element, 'assignedSlot'), slotOfText = getter(Text, 'assignedSlot');
  const tagOf = getter(Element, 'localName'), wordsOf = getter(HTMLElement, 'innerText');
  const attribute = method(Element, 'getAttribute'), fits = method(Element, 'matches');
  const nearest = method(Element, 'closest'), rootOf = method(Node, 'getRootNode');
  const answers = (get) => (n) => { try { get(n); return true; } catch { return false; } };
  const isNode = answers(kindOf), isRoot = answers(hostOf), HTML = 'http://www.w3.org/1999/xhtml';
  const spaceOf = getter(Element, 'namespaceURI');
  const isElement = (n) => isNode(n) && kindOf(n) === 1, isText = (n) => isNode(n) && kindOf(n) === 3;
  const is = (n, ...tags) => isElement(n) && tags.includes(tagOf(n)) && spaceOf(n) === HTML;
  const closedRoots = [];
  const slotIn = (n, host) => {
    for (const root of closedRoots) {
      if (hostOf(root) !== host) continue;
      for (const slot of root.querySelectorAll('slot')) if (slot.assignedNodes().includes(n)) return slot;
    }
    return null;
  };
  const knowRootsOf = (n) => {
    for (let r = rootOf(n); isRoot(r); r = rootOf(hostOf(r))) closedRoots.push(r);
  };
  const up = (n) => {
    if (isRoot(n)) return hostOf(n);
    const slot = isElement(n) ? slotOfElement(n) : isText(n) ? slotOfText(n) : null;
    const parent = parentOf(n);
    return slot || slotIn(n, parent) || parent;
  };
  const element = (n) => {
    if (n && !isNode(n) && isElement(n.element)) n = n.element;  // a pseudo-element
    if (!isNode(n)) return null;
    while (n && !isElement(n)) n = up(n);
    return n;
  };
  const USED = 'a[href],area[href],button,input:not([type=hidden]),select,textarea,summary,option,iframe,'
    + '[onclick]:not(html):not(body),'
    + 'audio[controls],video[controls],[contenteditable]:not([contenteditable=false]),'
    + ['button', 'link', 'checkbox', 'radio', 'switch', 'tab', 'menuitem', 'menuitemcheckbox', 'menuitemradio', 'option',
      'combobox', 'textbox', 'searchbox', 'slider', 'spinbutton', 'treeitem'].map((r) => `[role=${r}]`).join(',');
  const thing = (n) => {  // what a press on this node uses: the nearest control around it, else the element itself
    const start = element(n);
    for (let e = start; e; e = up(e)) if (isElement(e) && fits(e, USED)) return e;
    return start;
  };
  const labelsOf = (n) => (
    is(n, 'button', 'input', 'meter', 'output', 'progress', 'select', 'textarea') && n.labels ? [...n.labels] : []);
  const short = (text) => String(text || '').replace(/\s+/g, ' ').trim().slice(0, 200);
  const secret = (n) => !!n && !!nearest(n, `[${MARK}]`);  // what it holds is not told
  const dots = (text) => '•'.repeat([...text].length);
  const shown = (n) => (secret(n) || n.querySelector(`[${MARK}]:not(input,textarea)`) ? ''
    : short(spaceOf(n) === HTML ? wordsOf(n) : textOf(n)));
  const nameOf = (n) => {
    const root = rootOf(n), ids = (attribute(n, 'aria-labelledby') || '').split(/\s+/).filter(Boolean);
    const labelled = ids.map((id) => root.getElementById && root.getElementById(id)).filter(Boolean);
    const typed = is(n, 'input') && ['submit', 'reset', 'button'].includes(n.type);
    const labels = labelsOf(n);
    return short(labelled.map((one) => short(textOf(one))).join(' ')) || short(attribute(n, 'aria-label'))
      || short(labels.map(shown).join(' ')) || short(attribute(n, 'alt'))
      || (typed ? short(n.value || { submit: 'Submit', reset: 'Reset' }[n.type]) : '')
      || (is(n, 'input', 'textarea') ? short(attribute(n, 'placeholder')) : '')
      || (['html', 'body', 'select', 'iframe'].includes(tagOf(n)) ? '' : shown(n)) || short(attribute(n, 'title'));
  };
  const INPUTS = { checkbox: 'checkbox', radio: 'radio', range: 'slider', number: 'spinbutton', search: 'searchbox',
    submit: 'button', reset: 'button', button: 'button', image: 'button', file: 'button', color: 'ColorWell' };
  const TAGS = { button: 'button', summary: 'button', textarea: 'textbox', option: 'option', img: 'image', li: 'listitem',
    td: 'cell', th: 'columnheader', tr: 'row', table: 'table', ul: 'list', ol: 'list', nav: 'navigation', form: 'form',
    main: 'main', header: 'banner', footer: 'contentinfo', aside: 'complementary', dialog: 'dialog', p: 'paragraph',
    iframe: 'Iframe', label: 'label' };
  const roleOf = (n) => {
    const tag = tagOf(n), role = (attribute(n, 'role') || '').trim().split(/\s+/)[0];
    if (role) return role;
    if ((tag === 'a' || tag === 'area') && attribute(n, 'href') !== null) return 'link';
    if (is(n, 'input')) return INPUTS[n.type] || 'textbox';
    if (is(n, 'select')) return n.multiple || n.size > 1 ? 'listbox' : 'combobox';
    return TAGS[tag] || (/^h[1-6]$/.test(tag) ? 'heading' : 'generic');
  };
  const facts = (n) => ({ role: roleOf(n), name: nameOf(n), tag: tagOf(n) });
"""

# Whether a press that lands on a node reaches the target. Include after WALK; `target` is an element.
REACHES = r"""
  const ENTRY = '[role=combobox],[role=textbox],[role=searchbox],[role=spinbutton]';
  const user = thing(target);
  const reaches = (node) => {
    for (let n = element(node); n; n = up(n)) {
      if (n === target || n === user) return true;
      if (!isElement(n)) continue;
      if (is(n, 'label') && n.control && (n.control === target || n.control === user)) return true;
      if (!fits(n, USED)) continue;
      if (fits(target, ENTRY) && fits(n, 'input,textarea,[contenteditable]')) continue;  // a list's own field
      if (fits(target, '[role=listbox]') && fits(n, '[role=option]')) continue;  // a list is all options
      if (!nameOf(n) || nameOf(n) !== nameOf(target)) return false;  // something else, inside the target or over it
    }
    return false;
  };
"""

# What is painted. Include after WALK. seenBoxes(node, rects): those of its boxes that a person can see, perhaps after
# scrolling, each with the middle of what is on the screen now (null = it has to be scrolled there).
PAINT = r"""
  const styles = new Map(), shades = new Map();
  const styleOf = (n) => {
    if (!styles.has(n)) styles.set(n, getComputedStyle(n));
    return styles.get(n);
  };
  const alpha = (color) => {
    const parts = /^rgba?\(([^)]*)\)$/.exec(color);
    if (!parts) return color === 'transparent' ? 0 : Number((/\/\s*([\d.]+)(%?)\s*\)$/.exec(color) || [0, 1])[1]);
    const numbers = parts[1].split(/[\s,/]+/);
    return numbers.length > 3 ? parseFloat(numbers[3]) : 1;
  };
  const FAINT = 0.05;
  const shade = (n) => {  // how much of it comes through: opacity and filters of everything around it
    const chain = [];
    for (let e = n; e && !shades.has(e); e = element(up(e))) chain.push(e);
    for (const e of chain.reverse()) {
      const around = element(up(e)), style = styleOf(e), filter = /opacity\(([\d.]+)(%?)\)/.exec(style.filter);
      const own = Number(style.opacity) * (filter ? filter[1] / (filter[2] ? 100 : 1) : 1);
      shades.set(e, own * (around ? shades.get(around) : 1));
    }
    return shades.get(n);
  };
  const boxed = (n) => {
    while (n && styleOf(n).display === 'contents') n = element(up(n));
    return n;
  };
  const drawn = method(Element, 'checkVisibility'), rectOf = method(Element, 'getBoundingClientRect');
  const rectsOf = method(Element, 'getClientRects');
  const topmost = getter(Document, 'documentElement')(document), bodyOf = getter(Document, 'body')(document);
  const modal = method(Document, 'querySelector')(document, ':modal');
  const under = (r, x, y) => (isRoot(r) ? ShadowRoot : Document).prototype.elementsFromPoint.call(r, x, y);
  const worded = (n) => {  // the nearest thing around it that holds text
    while (n && !(textOf(n) || '').trim()) n = element(up(n));
    return n;
  };
  // Nothing around it hides it as a whole. `faded`: it may be a faded box with a drawn one in its place, of one text.
  const isPainted = (n, faded) => {
    const box = boxed(n), from = faded ? worded(box) : box;
    return !!box && drawn(box) && styleOf(n).visibility === 'visible'
      && styleOf(box).contentVisibility !== 'hidden' && (!from || shade(from) > FAINT);
  };
  const cutAway = (style) => (style.clip !== 'auto' && /absolute|fixed/.test(style.position)
      && /rect\((\S+?)[, ]+(\S+?)[, ]+\1[, ]|rect\(0/.test(style.clip) && !/auto/.test(style.clip))
    || /^(inset\((100|[5-9]\d(\.\d+)?)%\)|circle\(0(px|%)?[ )])/.test(style.clipPath);
  const meet = (a, b) => ({ l: Math.max(a.l, b.l), t: Math.max(a.t, b.t), r: Math.min(a.r, b.r), b: Math.min(a.b, b.b) });
  const holdsSome = (a) => a.r - a.l > 1 && a.b - a.t > 1;
  const seenBox = (n, rect) => {
    const top = topmost, screen = { l: 0, t: 0, r: innerWidth, b: innerHeight };
    let could = { l: rect.left, t: rect.top, r: rect.right, b: rect.bottom }, now = could, free = false, fixed = false;
    for (let a = boxed(n); a && a !== top && !fixed; a = element(up(a))) {
      const style = styleOf(a);
      if (cutAway(style)) return null;
      const holds = style.position !== 'static' || style.transform !== 'none' || style.contain.includes('paint');
      if (a !== bodyOf && style.display !== 'inline' && style.display !== 'contents' && (!free || holds)
          && (style.overflowX !== 'visible' || style.overflowY !== 'visible')) {
        const k = rectOf(a);
        const frame = { l: k.left, t: k.top, r: k.right, b: k.bottom };
        const across = /auto|scroll/.test(style.overflowX), along = /auto|scroll/.test(style.overflowY);
        now = meet(now, frame);
        could = meet({ l: across ? frame.l : could.l, r: across ? frame.r : could.r,
                       t: along ? frame.t : could.t, b: along ? frame.b : could.b }, frame);
        if (!holdsSome(could)) return null;
      }
      if (holds) free = false;
      if (style.position === 'absolute') free = true;
      fixed = style.position === 'fixed';
    }
    const rooted = styleOf(top), bodied = bodyOf ? styleOf(bodyOf) : rooted;
    const rule = (side) => (rooted[side] === 'visible' ? bodied[side] : rooted[side]);
    const still = (side) => fixed || /hidden|clip/.test(rule(side));
    if (still('overflowX')) could = meet(could, { ...screen, t: could.t, b: could.b });
    else if (rooted.direction !== 'rtl') could = meet(could, { ...could, l: -scrollX });
    if (still('overflowY')) could = meet(could, { ...screen, l: could.l, r: could.r });
    else could = meet(could, { ...could, t: -scrollY });
    return holdsSome(could) ? { now: meet(now, screen) } : null;
  };
  const thick = (n) => {  // how much of what is behind an element its own painting hides
    const style = styleOf(n), image = style.backgroundImage;
    if (style.visibility !== 'visible') return 0;
    if (fits(n, 'img,video,canvas,iframe,object,embed')) return shade(n);
    const colors = image.match(/rgba?\([^)]*\)/g) || [];
    const drawn = image.includes('url(') ? 1 : colors.length ? Math.min(...colors.map(alpha)) : 0;
    return Math.max(alpha(style.backgroundColor), drawn) * shade(n);
  };
  const thickAt = (n, x, y) => {  // a modal dialog is also what its backdrop covers
    const k = fits(n, ':modal') ? rectOf(n) : null;
    const beside = k && (x < k.left || x > k.right || y < k.top || y > k.bottom);
    return beside ? alpha(getComputedStyle(n, '::backdrop').backgroundColor) * shade(n) : thick(n);
  };
  let looks = 0;
  const MOST_LOOKS = 6000;
  const uncoveredAt = (n, x, y) => {
    for (let r = rootOf(n), p = boxed(n); p; p = isRoot(r) ? hostOf(r) : null, r = p && rootOf(p)) {
      if (looks++ > MOST_LOOKS || !(isRoot(r) || kindOf(r) === 9)) return true;
      const stack = under(r, x, y).filter((e) => rootOf(e) === r), at = stack.indexOf(p);
      if (at < 0) {
        if (styleOf(p).pointerEvents !== 'none' && !nearest(p, '[inert]') && !modal) return false;
        return !stack.some((e) => nearest(e, ':modal') && !nearest(p, ':modal') && thickAt(e, x, y) > 0.85);
      }
      let through = 1;
      for (const above of stack.slice(0, at)) through *= 1 - thickAt(above, x, y);
      if (through < 0.15) return false;
    }
    return true;
  };
  const seenBoxes = (n, rects) => {
    const seen = [];
    for (const rect of rects) {
      if (rect.width <= 0 || rect.height <= 0) continue;
      const box = seenBox(n, rect);
      if (!box) continue;
      if (!holdsSome(box.now)) { seen.push(null); continue; }
      const { l, t, r, b } = box.now, y = (t + b) / 2;
      const x = [0.5, 0.15, 0.85].map((part) => l + (r - l) * part).find((x) => uncoveredAt(n, x, y));
      if (x !== undefined) seen.push([x, y]);
    }
    return seen;
  };
"""
