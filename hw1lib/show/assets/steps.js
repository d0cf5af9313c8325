// Sliders that switch between states, all of which stand in the JSON beside this script; it computes none of them.
((box) => {
  const { pieces, sliders, states } = JSON.parse(box.querySelector("script").textContent);
  const [live, view] = [document.createElement("div"), document.createElement("div")];
  live.className = "live";
  live.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take the arrow keys for the next cell
  const inputs = sliders.map(([name, labels, start]) => {
    const [label, input] = [document.createElement("label"), document.createElement("input")];
    label.style.cssText = "display:inline-flex;align-items:center;gap:8px;margin:0 28px 8px 0";
    Object.assign(input, { type: "range", min: 0, max: labels.length - 1, value: start });
    label.append(name, input, document.createElement("output"));
    live.append(label);
    return input;
  });
  const draw = () => {
    let state = 0;
    sliders.forEach(([, labels], i) => {
      state = state * labels.length + inputs[i].valueAsNumber;
      inputs[i].nextSibling.textContent = inputs[i].ariaValueText = labels[inputs[i].valueAsNumber];
    });
    view.innerHTML = states[state].map((piece) => pieces[piece]).join("");
  };
  live.addEventListener("input", draw);
  live.append(view);
  draw();
  box.firstElementChild.hidden = true; // the still ones, which paper shows
  box.prepend(live);
})(document.currentScript.parentElement);
