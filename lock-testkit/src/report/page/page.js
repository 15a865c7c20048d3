// What the reader does: zoom, pan, hover, choose.

(() => {
  const element = (id) => document.getElementById(id);
  const canvas = element('canvas');
  const tip = element('tip');
  const chart = new Chart(canvas);
  let key = 0;
  let scheduled = false;

  function schedule() {
    canvas.dataset.from = String(chart.view.from);
    canvas.dataset.to = String(chart.view.to);
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => { if (scheduled) paint(); });
  }

  function paint() {
    scheduled = false;
    chart.draw();
    canvas.dataset.drawn = String(chart.drawn);
    const span = chart.view.to - chart.view.from;
    const decimals = span > 1e7 ? 1 : span > 1e5 ? 3 : 6;
    element('status').textContent = ms(Math.max(0, chart.view.from), decimals) + ' to '
      + ms(chart.view.to, decimals) + ' ms, of ' + ms(END, 1) + ' ms';
  }

  // Shows some time, not less than ten nanoseconds nor much more than there is.
  function look(from, to) {
    const span = Math.min(Math.max(to - from, 10), END * 1.2 + 10);
    const middle = (from + to) / 2;
    const start = Math.min(Math.max(middle - span / 2, -span / 2), END - span / 2);
    chart.view = { from: start, to: start + span };
    schedule();
  }

  function zoom(factor, x) {
    const anchor = chart.at(x ?? GUTTER + chart.plot / 2);
    const { from, to } = chart.view;
    look(anchor - (anchor - from) * factor, anchor + (to - anchor) * factor);
  }

  function pan(share) {
    const { from, to } = chart.view;
    const by = (to - from) * share;
    look(from + by, to + by);
  }

  function around(from, to) {
    const margin = Math.max((to - from) * 0.08, 20);
    look(from - margin, to + margin);
  }

  function fitCore() {
    let from = Infinity;
    let to = -Infinity;
    const include = (at) => {
      if (at === Infinity) return;
      from = Math.min(from, at);
      to = Math.max(to, at);
    };
    for (const index of REPORT.core) {
      include(OPERATIONS[index].from);
      include(OPERATIONS[index].until);
    }
    if (from > to) return fitAll();
    // As much of the leases as does not make the operations small.
    const span = Math.max(to - from, 1);
    for (const lease of LEASES) {
      if (CORE.has(lease.grant) && lease.sureUntil < to + span) include(lease.sureUntil);
    }
    return around(from, to);
  }

  function fitAll() { look(-END * 0.01, END * 1.02); }

  function choose(number) {
    key = number;
    element('key').value = String(number);
    chart.hovered = null;
    chart.show(rowsOf(number));
    hide();
    schedule();
  }

  function showTip(item, x, y) {
    const known = facts(item);
    const title = document.createElement('strong');
    title.textContent = known.title;
    const list = document.createElement('dl');
    for (const [name, text] of known.fields) {
      const [term, detail] = [document.createElement('dt'), document.createElement('dd')];
      term.textContent = name;
      detail.textContent = short(text, 300);
      list.append(term, detail);
    }
    tip.replaceChildren(title, list);
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = x + 16 + width > window.innerWidth ? x - 16 - width : x + 16;
    const top = Math.min(y + 16, window.innerHeight - height - 8);
    tip.style.left = Math.max(4, left) + 'px';
    tip.style.top = Math.max(4, top) + 'px';
  }

  function hide() {
    tip.hidden = true;
    if (chart.hovered !== null) {
      chart.hovered = null;
      schedule();
    }
  }

  function hover(event) {
    const box = canvas.getBoundingClientRect();
    const item = chart.find(event.clientX - box.left, event.clientY - box.top);
    if (item === null) return hide();
    if (item !== chart.hovered) {
      chart.hovered = item;
      schedule();
    }
    return showTip(item, event.clientX, event.clientY);
  }

  // Where an operation stands in the window, of those in view.
  function placeOf(index) {
    const item = OPERATIONS[index];
    const row = chart.rows.find((one) => one.items.includes(item));
    if (row === undefined) return null;
    const box = canvas.getBoundingClientRect();
    const [left, right] = chart.pixels(item.from, item.until);
    const x = (Math.max(left, GUTTER) + Math.min(right, chart.width - 10)) / 2;
    return { x: box.left + x, y: box.top + row.y + row.height / 2 };
  }

  function visit(index) {
    const item = OPERATIONS[index];
    if (key !== -1 && key !== item.key) choose(item.key);
    const until = item.until === Infinity ? item.from + (chart.view.to - chart.view.from) / 8 : item.until;
    const margin = Math.max((until - item.from) * 1.5, 50);
    look(item.from - margin, until + margin);
    chart.hovered = item;
    const place = placeOf(index);
    if (place !== null) showTip(item, place.x, place.y);
  }

  function listen() {
    let drag = null;
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      const unit = event.deltaMode === 1 ? 30 : 1;
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
        pan((event.deltaX || event.deltaY) * unit / chart.plot);
      } else {
        const turn = Math.min(Math.max(event.deltaY * unit, -300), 300);
        zoom(Math.exp(turn * 0.0022), Math.max(GUTTER, event.clientX - box.left));
      }
      hide();
    }, { passive: false });
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      drag = { x: event.clientX, view: chart.view };
      canvas.classList.add('dragging');
      hide();
    });
    window.addEventListener('pointermove', (event) => {
      if (drag === null) return;
      const { from, to } = drag.view;
      const by = (drag.x - event.clientX) / chart.plot * (to - from);
      look(from + by, to + by);
    });
    for (const name of ['pointerup', 'pointercancel']) {
      window.addEventListener(name, () => {
        drag = null;
        canvas.classList.remove('dragging');
      });
    }
    canvas.addEventListener('pointermove', (event) => { if (drag === null) hover(event); });
    canvas.addEventListener('pointerleave', hide);
    const keys = {
      ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15), '+': () => zoom(0.6), '=': () => zoom(0.6),
      '-': () => zoom(1 / 0.6), c: fitCore, a: fitAll, Escape: hide,
    };
    canvas.addEventListener('keydown', (event) => {
      const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
      if (act === undefined) return;
      event.preventDefault();
      act();
    });
    const buttons = {
      'zoom-in': () => zoom(0.6), 'zoom-out': () => zoom(1 / 0.6), left: () => pan(-0.25),
      right: () => pan(0.25), 'fit-core': () => { choose(coreKey()); fitCore(); }, 'fit-all': fitAll,
    };
    for (const [id, act] of Object.entries(buttons)) element(id).addEventListener('click', act);
    element('key').addEventListener('change', (event) => choose(Number(event.target.value)));
    element('copy').addEventListener('click', copy);
    window.addEventListener('resize', schedule);
    window.addEventListener('scroll', hide, { passive: true });
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      chart.readColours();
      schedule();
    });
  }

  function copy() {
    const said = (text) => { element('copy').textContent = text; };
    const select = () => {
      const range = document.createRange();
      range.selectNodeContents(element('replay'));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      said('selected');
    };
    if (navigator.clipboard === undefined) return select();
    return navigator.clipboard.writeText(REPORT.replay).then(() => said('copied'), select);
  }

  // The lock of the core, or all of them if it is about several.
  function coreKey() {
    const all = new Set(REPORT.core.map((index) => OPERATIONS[index].key));
    return all.size === 1 ? all.values().next().value : all.size === 0 ? 0 : -1;
  }

  function fillHead() {
    document.title = REPORT.property + ': ' + [REPORT.subject, REPORT.case].filter((text) => text !== '').join(', ');
    element('property').textContent = REPORT.property;
    element('rule').textContent = REPORT.rule;
    const names = REPORT.lock === '' ? [] : ['lock ' + visible(REPORT.lock)];
    if (REPORT.subject !== '') names.push('subject ' + visible(REPORT.subject));
    if (REPORT.case !== '') names.push('case ' + visible(REPORT.case));
    element('names').textContent = names.map((name) => '·  ' + name).join('  ');
    element('sentence').textContent = REPORT.sentence;
    element('bound').textContent = REPORT.bound;
    element('replay').textContent = visible(REPORT.replay);
    element('replay-fact').hidden = REPORT.replay === '';
  }

  function fillKeys() {
    const add = (number, text) => {
      const option = document.createElement('option');
      option.value = String(number);
      option.textContent = short(visible(text), 80);
      element('key').append(option);
    };
    REPORT.keys.forEach((name, number) => add(number, name === '' ? '(empty name)' : name));
    add(-1, '(all locks)');
    element('keys').hidden = REPORT.keys.length < 2;
  }

  function fillCore() {
    const body = element('core').tBodies[0];
    REPORT.core.forEach((index) => {
      const item = OPERATIONS[index];
      const row = body.insertRow();
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = LETTERS.get(index);
      button.title = 'Show it';
      row.insertCell().append(button);
      const token = item.token === '0' ? '' : ' ' + item.token;
      const value = valueText(item);
      const result = item.step === 'acquire' && item.outcome === 'done' ? 'granted token' + token : OUTCOMES[item.outcome];
      const asked = NOUNS[item.step] + (item.step === 'acquire' || token === '' ? '' : ', token' + token);
      for (const text of [who(item), asked, result + (value === null ? '' : ', value ' + short(value, 60))]) {
        row.insertCell().textContent = text;
      }
      for (const text of [moment(item.from), moment(item.until)]) {
        const cell = row.insertCell();
        cell.className = 'time';
        cell.textContent = text;
      }
      if (CULPRITS.has(index)) {
        row.className = 'culprit';
        button.title += ': it is one of those that contradict each other';
      }
      row.addEventListener('click', () => visit(index));
    });
  }

  fillHead();
  fillKeys();
  fillCore();
  listen();
  choose(coreKey());
  chart.resize();
  fitCore();
  paint();

  // For tests and the curious.
  window.lockReport = {
    get view() { return { ...chart.view }; },
    // Of what is looked at now: a browser without a window may never ask for the next frame.
    get drawn() {
      if (scheduled) paint();
      return chart.drawn;
    },
    get rows() { return chart.rows.length; },
    get hovered() { return tip.hidden ? null : tip.textContent; },
    get key() { return key; },
    placeOf,
  };
})();
