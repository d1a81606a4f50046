"use strict";
(function () {
  const filters = document.getElementById("filters");
  const items = Array.from(document.querySelectorAll("[data-kind]"));
  const sections = Array.from(document.querySelectorAll("section[data-table]"));
  const table = document.getElementById("by-table");
  const kinds = document.getElementById("by-kind");
  const text = document.getElementById("by-text");
  const count = document.getElementById("count");
  let texts = null;

  function option(value, label) {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = label;
    table.append(made);
  }

  function checkbox(kind) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = kind;
    box.checked = true;
    label.append(box, " " + kind);
    kinds.append(label);
  }

  function apply() {
    const wanted = text.value.trim().toLowerCase();
    const shown = new Set(Array.from(kinds.querySelectorAll("input:checked"), (box) => box.value));
    const all = shown.size === kinds.querySelectorAll("input").length;
    if (wanted && !texts) {
      texts = items.map((item) => item.textContent.toLowerCase());
    }
    let number = 0;
    const used = new Set();
    items.forEach(function (item, index) {
      const section = item.closest("section[data-table]");
      const fits = (table.value === "" || sections[table.value] === section)
        && shown.has(item.dataset.kind) && (!wanted || texts[index].includes(wanted));
      item.hidden = !fits;
      if (fits) {
        number += 1;
        used.add(section);
      }
    });
    sections.forEach(function (section, index) {
      const chosen = table.value === "" || table.value === String(index);
      section.hidden = !used.has(section) && (!chosen || wanted !== "" || !all);
    });
    count.textContent = number.toLocaleString() + " of " + items.length.toLocaleString() + " shown";
  }

  function copier(code) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "copy";
    button.setAttribute("aria-label", "copy: " + code.textContent);
    button.addEventListener("click", function () {
      const done = () => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1500); };
      const select = () => {
        getSelection().selectAllChildren(code);
        if (document.execCommand("copy")) { done(); }
      };
      if (navigator.clipboard) {
        navigator.clipboard.writeText(code.textContent).then(done, select);
      } else {
        select();
      }
    });
    code.after(button);
  }

  document.querySelectorAll("code.command").forEach(copier);
  if (!items.length) { return; }
  option("", "all");
  sections.forEach((section, index) => option(String(index), section.dataset.table));
  Array.from(new Set(items.map((item) => item.dataset.kind))).sort().forEach(checkbox);
  let waiting = 0;
  text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(apply, 150); });
  filters.addEventListener("change", apply);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.hidden = false;
  apply();
})();
