// What the page's modules need to build and find elements. Text is always set as text, never as HTML.

/** Makes an element; properties are set on it, `data` on its dataset, children appended. */
export function make(tag, { data = {}, ...properties } = {}, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(data)) {
    if (value !== undefined && value !== false) element.dataset[name] = value === true ? "" : value;
  }
  element.append(...children);
  return element;
}

/** The named parts of a pane, by `data-part`. */
export function partsOf(root) {
  return new Proxy({}, { get: (_, name) => root.querySelector(`[data-part="${name}"]`) });
}

/** A moment as the reader's clock tells it. */
export function clock(instant) {
  return new Date(instant).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** The `data` of an answer of supabase-js; its error is thrown. */
export function dataOf({ data, error }) {
  if (error) throw error;
  return data;
}
