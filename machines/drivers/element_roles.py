"""The one list of what takes a value, by the roles under which things on a screen are listed (base.Element.role).

Who looks for a field, a list or a box to tick goes by it; what is done about each kind is in fields.py. Roles are written
in small letters without spaces, as browsers and desktops spell them.
"""

TEXT_FIELDS = frozenset({"textbox", "searchbox", "spinbutton", "textarea", "entry"})
SET_FIELDS = frozenset({"date", "inputtime", "datetime", "slider", "colorwell"})  # set rather than typed
LISTS = frozenset({"combobox", "listbox", "list", "popupbutton", "select"})
FIELDS = TEXT_FIELDS | SET_FIELDS | {"combobox"}
BOXES = frozenset({"checkbox", "switch", "radio", "radiobutton", "togglebutton", "menuitemcheckbox", "menuitemradio"})
