"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const svgNamespace = "http://www.w3.org/2000/svg";
  const plots = [];

  const node = (name, attributes = {}, text = "") => {
    const made = document.createElementNS(svgNamespace, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const grouped = (value) => Math.round(value).toLocaleString("en-US");
  const shortCount = (value) => {
    if (value >= 1e6) return `${+(value / 1e6).toFixed(2)}M`;
    return value >= 1e4 || (value >= 1e3 && value % 100 === 0) ? `${+(value / 1e3).toFixed(1)}k` : `${+value.toFixed(2)}`;
  };
  const format = (value, chart) => {
    if (value === null || value === undefined) return "–";
    if (chart.percent) return `${(100 * value).toFixed(1)}%`;
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(1);
    return size >= 1000 ? grouped(value) : `${+value.toPrecision(3)}`;
  };

  // The smallest of 1, 2, 2.5, 5 times a power of ten that cuts the span into at most `count` steps.
  const stepFor = (span, count) => {
    const power = 10 ** Math.floor(Math.log10(span / count));
    return power * [1, 2, 2.5, 5, 10].find((factor) => span / (power * factor) <= count + 1e-9);
  };

  function range(chart) {
    const values = chart.series.flatMap((line) => line.values).filter((v) => v !== null && (!chart.logarithmic || v > 0));
    if (!values.length) return { low: 0, high: 1, ticks: [0, 1] };
    let low = Math.min(...values), high = Math.max(...values);
    if (chart.logarithmic) {
      low = Math.floor(Math.log10(low) + 1e-9); high = Math.max(Math.ceil(Math.log10(high) - 1e-9), low + 1);
      const every = Math.ceil((high - low) / 5);
      const ticks = [];
      for (let power = low; power <= high; power += every) ticks.push(power);
      return { low, high, ticks };
    }
    if (chart.low === null || chart.high === null) {
      for (const [level] of chart.marks) { low = Math.min(low, level); high = Math.max(high, level); }
    }
    low = chart.low ?? low; high = chart.high ?? high;
    if (high - low < 1e-12) { const pad = Math.abs(high) * 0.5 || 1; low = chart.low ?? low - pad; high += pad; }
    const step = stepFor(high - low, 4);
    if (chart.high === null) high = Math.ceil(high / step - 1e-9) * step;
    if (chart.low === null) low = Math.floor(low / step + 1e-9) * step;
    const ticks = [];
    for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step) ticks.push(+tick.toPrecision(12));
    return { low, high, ticks };
  }

  class Plot {
    constructor(card, chart) {
      this.chart = chart;
      this.svg = card.querySelector("svg");
      this.values = [...card.querySelectorAll(".legend b")];
      this.where = card.querySelector(".where");
      this.spoken = card.querySelector("[aria-live]");
      this.index = null;
      this.playhead = null;
      // A line that hides another exactly is drawn dashed, so that both are seen.
      this.dashed = chart.series.map((line, i) => chart.series.slice(0, i).some((other) => other.values.every((v, k) => v === line.values[k])));
      card.querySelectorAll(".legend i").forEach((swatch, i) => swatch.classList.toggle("dashed", this.dashed[i]));
      new ResizeObserver(() => this.draw()).observe(this.svg);
      this.svg.addEventListener("pointermove", (event) => share(this.sampleAt(event)));
      this.svg.addEventListener("pointerleave", () => share(null));
      this.svg.addEventListener("click", (event) => film.seek(this.sampleAt(event)));
      this.svg.addEventListener("blur", () => share(null));
      this.svg.addEventListener("keydown", (event) => this.onKey(event));
    }

    onKey(event) {
      const end = this.chart.x.length - 1;
      const from = this.index ?? end;
      const stride = event.shiftKey ? 10 : 1;
      const target = { ArrowLeft: from - stride, ArrowRight: from + stride, Home: 0, End: end }[event.key];
      if (event.key === "Escape") share(null);
      if (event.key === "Enter" && this.index !== null) film.seek(this.chart.x[this.index]);
      if (target === undefined) return;
      event.preventDefault();
      share(this.chart.x[clamp(target, 0, end)]);
      const said = this.chart.series.map((line) => `${line.label} ${format(line.values[this.index], this.chart)}`);
      this.spoken.textContent = `${grouped(this.chart.x[this.index])} samples: ${said.join(", ")}`;
    }

    sampleAt(event) {
      const x = event.clientX - this.svg.getBoundingClientRect().left;
      return this.first + (clamp(x, this.left, this.right) - this.left) / (this.right - this.left) * (this.end - this.first);
    }

    place(sample) { return this.left + (sample - this.first) / (this.end - this.first) * (this.right - this.left); }

    height(value) {
      const shown = this.chart.logarithmic ? Math.log10(value) : value;
      return this.bottom - (clamp(shown, this.low - 1e3, this.high + 1e3) - this.low) / (this.high - this.low) * (this.bottom - this.top);
    }

    draw() {
      const { chart, svg } = this;
      const width = svg.clientWidth, full = svg.clientHeight;
      if (!width) return;
      const { low, high, ticks } = range(chart);
      const labels = ticks.map((tick) => (chart.logarithmic ? powerOfTen(tick) : chart.percent ? `${Math.round(100 * tick)}%` : format(tick, chart)));
      Object.assign(this, { low, high, left: 14 + 7 * Math.max(...labels.map((label) => label.length)), right: width - 12, top: 12, bottom: full - 26 });
      this.first = 0;
      this.end = Math.max(data.last, chart.x[chart.x.length - 1], 1);
      svg.setAttribute("viewBox", `0 0 ${width} ${full}`);
      svg.replaceChildren(...this.axes(ticks, labels), this.clip(), ...this.curves(), this.overlay());
      this.refresh();
    }

    axes(ticks, labels) {
      const { left, right, bottom, chart } = this;
      const made = ticks.flatMap((tick, i) => {
        const y = bottom - (tick - this.low) / (this.high - this.low) * (bottom - this.top);
        return [node("line", { class: i ? "rule" : "base", x1: left, x2: right, y1: y, y2: y }), node("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, labels[i])];
      });
      const step = stepFor(this.end, clamp(Math.floor((right - left) / 70), 2, 6));
      for (let tick = 0; tick <= this.end * 1.0001; tick += step) {
        const anchor = this.place(tick) > right - 14 ? "end" : "middle";
        made.push(node("text", { x: this.place(tick), y: bottom + 18, "text-anchor": anchor }, shortCount(tick)));
      }
      for (const [level, name] of chart.marks) {
        if (level < this.low || level > this.high) continue;
        const y = this.height(level);
        made.push(node("line", { class: "level", x1: left, x2: right, y1: y, y2: y }));
      }
      return made;
    }

    clip() {
      const id = `clip-${plots.indexOf(this)}`;
      const clip = node("clipPath", { id });
      clip.append(node("rect", { x: this.left, y: this.top - 2, width: this.right - this.left + 4, height: this.bottom - this.top + 4 }));
      return clip;
    }

    curves() {
      const { chart } = this;
      const group = node("g", { "clip-path": `url(#clip-${plots.indexOf(this)})` });
      chart.series.forEach((line, i) => {
        let path = "", pen = false;
        line.values.forEach((value, k) => {
          const drawn = value !== null && !(chart.logarithmic && value <= 0);
          if (drawn) path += `${pen ? "L" : "M"}${this.place(chart.x[k]).toFixed(1)} ${this.height(value).toFixed(1)}`;
          pen = drawn;
        });
        group.append(node("path", { class: `curve c-${line.colour}${this.dashed[i] ? " dashed" : ""}`, d: path }));
        if (chart.x.length <= 24) {
          line.values.forEach((value, k) => {
            if (value !== null && !(chart.logarithmic && value <= 0)) group.append(node("circle", { class: `dot c-${line.colour}`, cx: this.place(chart.x[k]), cy: this.height(value), r: 3.5 }));
          });
        }
      });
      const names = chart.marks.filter(([level]) => level >= this.low && level <= this.high).map(([level, name]) => {
        const y = this.height(level);
        const crowd = (top, bottom) => chart.series.flatMap((line) => line.values.filter((value, k) =>
          value !== null && this.place(chart.x[k]) > this.right - 7 * name.length && this.height(value) > top && this.height(value) < bottom)).length;
        const above = y - 20 > this.top && (crowd(y - 22, y) <= crowd(y, y + 22) || y + 20 > this.bottom);
        return node("text", { class: "mark-name", x: this.right, y: above ? y - 6 : y + 15, "text-anchor": "end" }, name);
      });
      return [group, ...names];
    }

    overlay() {
      this.layer = node("g", { "pointer-events": "none" });
      return this.layer;
    }

    point(sample) {
      if (sample === null) { this.index = null; return; }
      let best = 0;
      this.chart.x.forEach((x, i) => { if (Math.abs(x - sample) < Math.abs(this.chart.x[best] - sample)) best = i; });
      this.index = best;
    }

    refresh() {
      if (!this.layer) return;
      const { chart } = this;
      const made = [];
      const line = (kind, sample) => made.push(node("line", { class: kind, x1: this.place(sample), x2: this.place(sample), y1: this.top, y2: this.bottom }));
      if (this.playhead !== null && this.playhead <= this.end) line("playhead", this.playhead);
      if (this.index !== null) {
        line("cursor", chart.x[this.index]);
        for (const series of chart.series) {
          const value = series.values[this.index];
          if (value === null || (chart.logarithmic && value <= 0)) continue;
          const y = this.height(value);
          if (y >= this.top - 2 && y <= this.bottom + 2) made.push(node("circle", { class: `dot c-${series.colour}`, cx: this.place(chart.x[this.index]), cy: y, r: 4.5 }));
        }
      }
      this.layer.replaceChildren(...made);
      chart.series.forEach((series, i) => {
        const newest = series.values.findLast((value) => value !== null) ?? null;
        this.values[i].textContent = format(this.index === null ? newest : series.values[this.index], chart);
      });
      this.where.textContent = this.index === null ? "at the end" : `at ${grouped(chart.x[this.index])} samples`;
    }
  }

  const powerOfTen = (power) => (power >= -2 && power <= 3 ? `${+(10 ** power).toFixed(2)}` : `1e${power}`);
  const share = (sample) => plots.forEach((plot) => { plot.point(sample); plot.refresh(); });

  const film = {
    frames: data.film,
    at: data.film.length - 1,
    timer: null,
    screen: document.getElementById("screen"),
    slider: document.getElementById("slider"),
    readout: document.getElementById("readout"),
    button: document.getElementById("play"),

    show(index) {
      if (!this.frames.length) return;
      this.at = clamp(index, 0, this.frames.length - 1);
      const [samples, uri] = this.frames[this.at];
      this.screen.src = uri;
      const epochs = data.epoch_size ? `, epoch ${(samples / data.epoch_size).toFixed(1)}` : "";
      const text = `${grouped(samples)} samples${epochs}`;
      this.screen.alt = `Samples of the generator after ${text}`;
      if (this.slider) {
        this.slider.value = this.at;
        this.slider.setAttribute("aria-valuetext", text);
        this.readout.textContent = text;
      }
      plots.forEach((plot) => { plot.playhead = samples; plot.refresh(); });
    },
    seek(sample) {
      if (!this.frames.length) return;
      this.stop();
      let best = 0;
      this.frames.forEach(([samples], i) => { if (Math.abs(samples - sample) < Math.abs(this.frames[best][0] - sample)) best = i; });
      this.show(best);
    },
    stop() { clearInterval(this.timer); this.timer = null; this.button?.setAttribute("aria-pressed", "false"); },
    start() {
      if (this.at === this.frames.length - 1) this.show(0);
      this.button.setAttribute("aria-pressed", "true");
      this.timer = setInterval(() => { this.show(this.at + 1); if (this.at === this.frames.length - 1) this.stop(); }, clamp(6000 / this.frames.length, 100, 500));
    },
  };
  if (film.slider) {
    // Decoding each frame once beforehand keeps the film from flickering.
    film.cache = film.frames.map(([, uri]) => { const image = new Image(); image.src = uri; return image; });
    film.slider.addEventListener("input", () => { film.stop(); film.show(+film.slider.value); });
    film.button.addEventListener("click", () => (film.timer ? film.stop() : film.start()));
    document.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, svg, button, summary")) return;
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (move) { event.preventDefault(); film.stop(); film.show(film.at + move); }
    });
  }

  document.documentElement.classList.add("js");
  document.querySelectorAll(".wipe input").forEach((input) => {
    const move = () => input.parentElement.style.setProperty("--at", `${input.value}%`);
    input.addEventListener("input", move);
    move(); // a page that was reloaded keeps its values
  });

  document.querySelectorAll(".chart").forEach((card, i) => plots.push(new Plot(card, data.charts[i])));
  film.show(film.at);

  document.querySelectorAll(".copy").forEach((button) => button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    let done = true;
    try { await navigator.clipboard.writeText(code.textContent); } catch {
      // Pages opened from a file may not use the clipboard: select the text, so that one key press copies it.
      getSelection().selectAllChildren(code);
      done = false;
    }
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  }));
})();
