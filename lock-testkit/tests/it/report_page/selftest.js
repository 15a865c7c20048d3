// Does what a reader does, by the events that a reader causes, and writes down what came of it. All of
// it happens at once, so that no clock of the browser matters.
(() => {
  const told = { errors: window.pageErrors };
  const canvas = document.getElementById('canvas');
  const report = window.lockReport;
  const span = () => report.view.to - report.view.from;
  const box = () => canvas.getBoundingClientRect();
  const mouse = (target, name, x, y, more = {}) => target.dispatchEvent(new (name === 'wheel' ? WheelEvent : PointerEvent)(
    name, { bubbles: true, cancelable: true, button: 0, clientX: x, clientY: y, ...more }));
  const press = (key) => canvas.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, cancelable: true, key }));
  const click = (id) => document.getElementById(id).click();
  // How many colours the canvas shows in a place around a point of the window.
  const colours = (x, y) => {
    const ratio = canvas.width / box().width;
    const pixels = canvas.getContext('2d').getImageData(Math.round((x - box().left - 30) * ratio),
      Math.round((y - box().top - 14) * ratio), Math.round(60 * ratio), Math.round(28 * ratio)).data;
    const seen = new Set();
    for (let at = 0; at < pixels.length; at += 4) seen.add(pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2]);
    return seen.size;
  };
  try {
    told.opened = { view: report.view, drawn: report.drawn, rows: report.rows, key: report.key };
    told.end = END;
    told.places = REPORT.core.map((index) => {
      const place = report.placeOf(index);
      return place === null ? null : { ...place, colours: colours(place.x, place.y), hovered: (() => {
        mouse(canvas, 'pointermove', place.x, place.y);
        return report.hovered;
      })() };
    });
    mouse(canvas, 'pointermove', box().left + 5, box().top + 5);
    told.awayFromAll = report.hovered;

    const middle = { x: box().left + box().width * 0.6, y: box().top + 60 };
    const before = report.view;
    mouse(canvas, 'wheel', middle.x, middle.y, { deltaY: -240 });
    told.wheelIn = span() / (before.to - before.from);
    mouse(canvas, 'wheel', middle.x, middle.y, { deltaY: 240 });
    told.wheelBack = { from: report.view.from - before.from, to: report.view.to - before.to, span: span() };

    mouse(canvas, 'pointerdown', middle.x, middle.y);
    mouse(window, 'pointermove', middle.x - 100, middle.y);
    mouse(window, 'pointerup', middle.x - 100, middle.y);
    told.dragged = { by: report.view.from - before.from, span: span() };
    mouse(window, 'pointermove', middle.x + 300, middle.y);
    told.afterDrag = report.view.from - before.from;

    for (const [name, act] of Object.entries({
      zoomIn: () => click('zoom-in'), zoomOut: () => click('zoom-out'), left: () => click('left'),
      right: () => click('right'), plusKey: () => press('+'), minusKey: () => press('-'),
      leftKey: () => press('ArrowLeft'), rightKey: () => press('ArrowRight'),
    })) {
      const old = report.view;
      act();
      told[name] = { scale: span() / (old.to - old.from), moved: report.view.from - old.from };
    }
    click('fit-all');
    told.all = { view: report.view, drawn: report.drawn, dataset: { ...canvas.dataset } };
    click('fit-core');
    told.core = { view: report.view, drawn: report.drawn };

    const button = document.querySelector('#core tbody button');
    button.click();
    told.visited = { hovered: report.hovered, view: report.view };
    const select = document.getElementById('key');
    told.keys = Array.from(select.options, (option) => option.textContent);
    told.keysShown = !document.getElementById('keys').hidden;
    select.value = String(select.options.length - 2);
    select.dispatchEvent(new Event('change', { bubbles: true }));
    click('fit-all');
    told.otherKey = { key: report.key, drawn: report.drawn };

    told.texts = Object.fromEntries(['property', 'sentence', 'rule', 'names', 'bound', 'replay', 'text']
      .map((id) => [id, document.getElementById(id).textContent]));
    told.table = Array.from(document.querySelectorAll('#core tbody tr'), (row) => row.textContent);
    told.unlabelled = Array.from(document.querySelectorAll('button'), (one) => one.textContent).filter((text) => text.trim() === '').length;
    told.foreign = document.querySelectorAll('img, iframe, object, embed, link, a').length;
    told.scripts = document.scripts.length;
    told.broken = window.broken ?? null;
  } catch (error) {
    told.errors.push(String(error.stack ?? error));
  }
  const out = document.createElement('pre');
  out.id = 'told';
  out.textContent = btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(told))));
  document.body.append(out);
})();
