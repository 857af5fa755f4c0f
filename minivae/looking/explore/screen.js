// Small things that every page needs: elements, colours, numbers as text, one redraw a frame.

const byId = (id) => document.getElementById(id);
const DOT_COLOURS = [
  "#4e79a7", "#f28e2b", "#e15759", "#3fa7a0", "#59a14f",
  "#d4a72c", "#b07aa1", "#f07c9b", "#9c755f", "#7d8590",
];
const colourOf = (label) => (label < 0 ? "#4e79a7" : DOT_COLOURS[label % DOT_COLOURS.length]);
const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Numbers on the page: two decimals and a true minus sign.
const shown = (value, digits = 2) => value.toFixed(digits).replace("-", "−").replace(/^−(0\.?0*)$/, "$1");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Run a redraw at most once a frame, however often it is asked for.
function oncePerFrame(redraw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      redraw();
    });
  };
}
