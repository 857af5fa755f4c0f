// Keys that every page of the book has: left and right turn the page. The list of lessons folds
// where there is no room beside the text.

const facts = JSON.parse(document.getElementById("facts").textContent);

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("input, select, textarea, canvas, svg, summary, [tabindex]");
  if (busy || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const here = location.pathname.split("/").pop() || "index.html";
  const there = facts.pages[facts.pages.indexOf(here) + step];
  if (step && facts.pages.includes(here) && there) location.href = there;
});

const contents = document.querySelector(".contents details");
if (contents && window.innerWidth < 1020) contents.open = false;
