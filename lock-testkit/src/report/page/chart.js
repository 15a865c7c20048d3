// How it is drawn: rows on a canvas, for a view from one moment to another.

const GUTTER = 128;
const AXIS = 30;
const HEIGHTS = { operation: 26, belief: 13, lease: 26, mark: 24 };
const TALLEST = 16000;

// A lease by its token, where the lock has tokens.
function nameOf(lease) {
  return lease.token === '0' ? ['lease'] : ['token ' + lease.token, lease.token];
}

class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext('2d', { alpha: false });
    this.view = { from: 0, to: END };
    this.rows = [];
    this.drawn = 0;
    this.width = 0;
    this.height = 0;
    this.hovered = null;
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    this.colour = (name) => style.getPropertyValue('--' + name).trim();
    this.font = getComputedStyle(document.body).fontFamily;
    this.colours = {};
    for (const name of ['card', 'ink', 'soft', 'line', 'grid', 'stripe', 'done', 'done-ink', 'refused',
      'refused-ink', 'unknown', 'unknown-ink', 'failed', 'failed-ink', 'culprit', 'sure', 'sure-ink',
      'maybe', 'belief', 'fault', 'fault-band', 'fault-ink']) this.colours[name] = this.colour(name);
    this.hatching = this.hatch();
  }

  hatch() {
    const tile = document.createElement('canvas');
    tile.width = tile.height = 6;
    const pen = tile.getContext('2d');
    pen.strokeStyle = 'rgba(0, 0, 0, 0.22)';
    pen.lineWidth = 1.5;
    for (const shift of [-6, 0, 6]) {
      pen.beginPath();
      pen.moveTo(shift, 6);
      pen.lineTo(shift + 6, 0);
      pen.stroke();
    }
    return this.pen.createPattern(tile, 'repeat');
  }

  show(rows) {
    this.rows = rows;
    const natural = rows.reduce((sum, row) => sum + HEIGHTS[row.kind], 0);
    const scale = Math.min(1, TALLEST / Math.max(1, natural));
    let y = AXIS + 6;
    rows.forEach((row, at) => {
      const before = rows[at - 1];
      const isGroup = row.isFirst && row.kind !== 'belief' && before !== undefined;
      if (isGroup) y += 8 * scale;
      row.rule = isGroup ? y - 4 * scale : null;
      row.y = y;
      row.height = HEIGHTS[row.kind] * scale;
      y += row.height;
    });
    this.height = Math.max(110, Math.ceil(y + 10));
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.width = Math.max(360, this.canvas.parentElement.clientWidth);
    this.canvas.style.height = this.height + 'px';
    const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  get plot() { return this.width - GUTTER - 10; }
  x(at) { return GUTTER + (at - this.view.from) / (this.view.to - this.view.from) * this.plot; }
  at(x) { return this.view.from + (x - GUTTER) / this.plot * (this.view.to - this.view.from); }

  // The pixels of a span, cut to a little more than what is visible.
  pixels(from, until) {
    const left = Math.max(GUTTER - 20, this.x(from));
    const right = Math.min(this.width + 20, until === Infinity ? this.width + 20 : this.x(until));
    return [left, Math.max(left + 2, right)];
  }

  draw() {
    const { pen, colours } = this;
    this.resize();
    this.drawn = 0;
    pen.fillStyle = colours.card;
    pen.fillRect(0, 0, this.width, this.height);
    this.drawAxis();
    this.drawBands();
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, AXIS, this.width - GUTTER, this.height - AXIS);
    pen.clip();
    for (const row of this.rows) this.drawRow(row);
    pen.restore();
    this.drawLabels();
  }

  drawAxis() {
    const { pen, colours } = this;
    const span = this.view.to - this.view.from;
    const rough = span / Math.max(2, this.plot / 110);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((times) => times * power >= rough);
    const decimals = Math.min(6, Math.max(0, 6 - Math.floor(Math.log10(step) + 1e-9)));
    pen.font = '12px ' + this.font;
    pen.textBaseline = 'middle';
    pen.textAlign = 'center';
    for (let at = Math.ceil(this.view.from / step) * step; at <= this.view.to; at += step) {
      const x = Math.round(this.x(at)) + 0.5;
      if (x < GUTTER) continue;
      pen.fillStyle = colours.grid;
      pen.fillRect(x - 0.5, AXIS, 1, this.height - AXIS);
      pen.fillStyle = colours.soft;
      if (x > GUTTER + 18 && x < this.width - 24) pen.fillText((at / 1e6).toFixed(decimals), x, AXIS / 2);
    }
    pen.fillStyle = colours.line;
    pen.fillRect(0, AXIS - 1, this.width, 1);
    pen.textAlign = 'left';
    pen.fillStyle = colours.soft;
    pen.fillText('ms', 14, AXIS / 2);
  }

  // Faults shade everything that went on meanwhile.
  drawBands() {
    const { pen, colours } = this;
    pen.fillStyle = colours['fault-band'];
    let last = -1;
    for (const mark of MARKS) {
      if (mark.kind !== 'mark' || mark.from > this.view.to || mark.until < this.view.from) continue;
      let [left, right] = this.pixels(mark.from, mark.until);
      left = Math.max(left, GUTTER, last);
      if (right > left) pen.fillRect(left, AXIS, right - left, this.height - AXIS);
      last = Math.max(last, right);
    }
  }

  drawRow(row) {
    const { pen, colours, view } = this;
    if (row.rule !== null) {
      pen.fillStyle = colours.line;
      pen.fillRect(GUTTER, Math.round(row.rule), this.width, 1);
    }
    let done = -Infinity;
    const late = [];
    for (let at = firstIn(row, view.from); at < row.items.length; at += 1) {
      const item = row.items[at];
      if (item.from > view.to) break;
      if (item.until < view.from && item.kind !== 'belief') continue;
      const isCore = item.kind === 'operation' && CORE.has(item.index);
      const [left, right] = this.pixels(item.from, item.until);
      // What would only be drawn over what is there already is left out, unless it is looked for.
      if (isCore) { late.push(item); continue; }
      if (right <= done + 1) continue;
      done = Math.max(done, right);
      this.drawItem(row, item, left, right);
    }
    for (const item of late) this.drawItem(row, item, ...this.pixels(item.from, item.until));
  }

  drawItem(row, item, left, right) {
    const top = row.y + 2;
    const height = Math.max(1, row.height - 4);
    this.drawn += 1;
    if (item.kind === 'operation') this.drawOperation(row, item, left, right, top, height);
    else if (item.kind === 'lease') this.drawLease(item, left, right, top, height);
    else if (item.kind === 'belief') this.drawBelief(item, left, right, top, height);
    else this.drawMark(row, item, left, right, top, height);
    if (item === this.hovered) {
      this.pen.strokeStyle = this.colours.ink;
      this.pen.lineWidth = 1.5;
      this.pen.strokeRect(left, top, right - left, height);
    }
  }

  box(left, right, top, height) {
    this.pen.beginPath();
    this.pen.roundRect(left, top, right - left, height, Math.min(4, (right - left) / 2, height / 2));
  }

  drawOperation(row, item, left, right, top, height) {
    const { pen, colours } = this;
    const name = item.outcome === 'not_applied' ? 'failed' : item.outcome;
    const isCulprit = CULPRITS.has(item.index);
    this.box(left, right, top, height);
    pen.globalAlpha = CORE.has(item.index) ? 1 : 0.55;
    pen.fillStyle = colours[name];
    pen.fill();
    if (item.outcome === 'unknown') {
      pen.fillStyle = this.hatching;
      pen.fill();
    }
    pen.globalAlpha = 1;
    if (isCulprit) {
      pen.strokeStyle = colours.culprit;
      pen.lineWidth = 3;
      this.box(left, right, top, height);
      pen.stroke();
    }
    const verb = item.step === 'commit_release' ? 'commit+release' : item.step === 'force_release' ? 'force' : item.step;
    const token = item.token === '0' ? '' : ' ' + item.token;
    const sign = { done: '', refused: ' ✕', unknown: ' ?', not_applied: ' !' }[item.outcome];
    const texts = [verb + token + sign, verb + sign, verb];
    const letter = LETTERS.get(item.index);
    if (letter === undefined) {
      this.label(texts, left, right, top, height, colours[name + '-ink'], false);
      return;
    }
    const named = texts.map((text) => letter + '  ' + text);
    const fits = this.label(named, left, right, top, height, colours[name + '-ink'], isCulprit);
    if (!fits) this.callout(row, named[0], left, right, top, isCulprit ? colours.culprit : colours.ink);
  }

  // A text beside a box that is too small for it: to its right, unless only its left is free.
  callout(row, text, left, right, top, ink) {
    const height = row.height - 4;
    if (height < 11 || right < GUTTER || right > this.width) return;
    const { pen, colours } = this;
    pen.font = '600 12px ' + this.font;
    const width = pen.measureText(text).width + 8;
    const isRight = this.isFree(row, right + 1, right + width) || !this.isFree(row, left - width, left - 1);
    const from = isRight ? right + 6 : left - width + 2;
    pen.textAlign = 'left';
    pen.textBaseline = 'middle';
    pen.lineJoin = 'round';
    pen.lineWidth = 4;
    pen.strokeStyle = colours.card;
    pen.strokeText(text, from, top + height / 2 + 0.5);
    pen.fillStyle = ink;
    pen.fillText(text, from, top + height / 2 + 0.5);
  }

  // Whether nothing of a row stands between two pixels.
  isFree(row, left, right) {
    if (left < GUTTER || right > this.width) return false;
    const [from, until] = [this.at(left), this.at(right)];
    const next = row.items[firstIn(row, from)];
    return next === undefined || next.from > until;
  }

  drawLease(item, left, right, top, height) {
    const { pen, colours } = this;
    const inset = Math.min(4, height / 6);
    this.box(left, right, top + inset, height - 2 * inset);
    pen.fillStyle = colours.maybe;
    pen.fill();
    pen.fillStyle = this.hatching;
    pen.globalAlpha = 0.5;
    pen.fill();
    pen.globalAlpha = 1;
    const [from, until] = this.pixels(item.sureFrom, item.sureUntil);
    if (this.x(item.sureUntil) > GUTTER && item.sureUntil > item.sureFrom) {
      pen.fillStyle = colours.sure;
      pen.fillRect(from, top + inset, until - from, height - 2 * inset);
      this.label(nameOf(item), from, until, top, height, colours['sure-ink'], CORE.has(item.grant));
    } else {
      this.label(nameOf(item), left, right, top, height, colours.ink, false);
    }
    if (CORE.has(item.grant)) {
      pen.strokeStyle = colours.ink;
      pen.lineWidth = 1.2;
      this.box(left, right, top + inset, height - 2 * inset);
      pen.stroke();
    }
  }

  drawBelief(item, left, right, top, height) {
    const { pen, colours } = this;
    if (item.until < item.from) {
      // It was over before it began.
      const x = this.x(item.from);
      pen.fillStyle = colours.culprit;
      pen.beginPath();
      pen.moveTo(x - 5, top);
      pen.lineTo(x + 5, top);
      pen.lineTo(x, top + height);
      pen.fill();
      return;
    }
    pen.fillStyle = colours.belief;
    this.box(left, right, top, Math.min(6, height));
    pen.fill();
  }

  drawMark(row, item, left, right, top, height) {
    const { pen, colours } = this;
    pen.fillStyle = item.kind === 'healed' ? colours.sure : colours.fault;
    this.box(left, right, top, height);
    pen.fill();
    const text = visible(item.text);
    const whole = item.client === null ? text : text + ' (client ' + item.client + ')';
    const fits = this.label([whole, text, short(text, 14)], left, right, top, height, colours['fault-ink'], false);
    if (item.kind === 'healed' && !fits) this.callout(row, 'healed', left, right, top, colours.sure);
  }

  // Writes the longest of some texts that fits into what is visible of a box, if any does.
  label(texts, left, right, top, height, ink, isBold) {
    const from = Math.max(left, GUTTER) + 7;
    const room = Math.min(right, this.width - 6) - from - 3;
    if (room < 9 || height < 11) return false;
    const { pen } = this;
    pen.font = (isBold ? '600 ' : '') + '12px ' + this.font;
    const text = texts.find((one) => pen.measureText(one).width <= room);
    if (text === undefined) return false;
    pen.fillStyle = ink;
    pen.textAlign = 'left';
    pen.textBaseline = 'middle';
    pen.fillText(text, from, top + height / 2 + 0.5);
    return true;
  }

  drawLabels() {
    const { pen, colours } = this;
    pen.fillStyle = colours.stripe;
    pen.fillRect(0, AXIS, GUTTER, this.height - AXIS);
    pen.fillStyle = colours.line;
    pen.fillRect(GUTTER - 1, AXIS, 1, this.height - AXIS);
    pen.textAlign = 'left';
    pen.textBaseline = 'middle';
    for (const row of this.rows) {
      if (row.rule !== null) {
        pen.fillStyle = colours.line;
        pen.fillRect(0, Math.round(row.rule), GUTTER, 1);
      }
      if (row.label === '' || row.height < 9) continue;
      const isBelief = row.kind === 'belief';
      pen.font = (isBelief ? '11px ' : '500 13px ') + this.font;
      pen.fillStyle = isBelief ? colours.belief : colours.ink;
      pen.fillText(row.label, isBelief ? 24 : 14, row.y + row.height / 2, GUTTER - 28);
    }
  }

  // What is at a place of the canvas.
  find(x, y) {
    if (x < GUTTER || y < AXIS) return null;
    const row = this.rows.find((one) => y >= one.y && y < one.y + one.height);
    if (row === undefined) return null;
    const reach = 3 * (this.view.to - this.view.from) / this.plot;
    const at = this.at(x);
    let found = null;
    for (let i = firstIn(row, at - reach); i < row.items.length; i += 1) {
      const item = row.items[i];
      if (item.from > at + reach) break;
      const isIn = item.until >= at - reach || (item.kind === 'belief' && item.from >= at - reach);
      const isCore = item.kind === 'operation' && CORE.has(item.index);
      if (isIn && (found === null || isCore || item.from <= at)) found = item;
      if (isIn && isCore) break;
    }
    return found;
  }
}
