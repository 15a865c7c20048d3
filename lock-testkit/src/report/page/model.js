'use strict';
// What is to be seen: rows of things over time. Nothing here knows of pixels.

const REPORT = JSON.parse(document.getElementById('data').textContent);

const NOUNS = {
  acquire: 'acquire', commit: 'commit', commit_release: 'commit with release',
  force_release: 'forced release', peek: 'peek', release: 'release', renew: 'renewal',
};
const OUTCOMES = {
  done: 'done', not_applied: 'failed without effect', refused: 'refused', unknown: 'outcome unknown',
};
const CULPRITS = new Set(REPORT.culprits);
const CORE = new Set(REPORT.core);
// As in the text and in the table.
const LETTERS = new Map(REPORT.core.map((index, at) => [index, String.fromCharCode(65 + at)]));

const OPERATIONS = REPORT.operations.map((row, index) => ({
  kind: 'operation', index, from: row[0], until: row[1] ?? Infinity, key: row[2], client: row[3],
  task: row[4], step: row[5], outcome: row[6], token: row[7], ttl: row[8], value: row[9],
}));
const LEASES = REPORT.leases.map((row) => ({
  kind: 'lease', key: row[0], token: row[1], grant: row[2], from: row[3], sureFrom: row[4],
  sureUntil: row[5], until: row[6] ?? Infinity,
}));
const BELIEFS = REPORT.beliefs.map((row) => ({
  kind: 'belief', key: row[0], client: row[1], task: row[2], token: row[3], from: row[4],
  until: row[5] ?? Infinity,
}));
const MARKS = REPORT.marks.map((row) => ({
  kind: 'mark', from: row[0], until: row[1] ?? Infinity, client: row[2], text: row[3],
}));
if (REPORT.healed !== null) {
  MARKS.push({ kind: 'healed', from: REPORT.healed, until: REPORT.healed, client: null, text: 'healed' });
}

const END = (() => {
  let end = 1;
  for (const list of [OPERATIONS, LEASES, BELIEFS, MARKS]) {
    for (const item of list) {
      for (const at of [item.from, item.sureUntil ?? 0, item.until]) {
        // What is promised for ever, or nearly, would leave no room for what happened.
        if (at > end && at < 9e15) end = at;
      }
    }
  }
  return end;
})();

// Any text on one line, with what cannot be seen made visible.
function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (c) => '\\u{' + c.codePointAt(0).toString(16) + '}');
}

function short(text, most) {
  const all = Array.from(text);
  return all.length <= most ? text : all.slice(0, most - 1).join('') + '…';
}

function ms(ns, decimals = 6) {
  const text = (ns / 1e6).toFixed(decimals);
  return text.includes('.') ? text.replace(/0+$/, '').replace(/\.$/, '.0') : text;
}

function who(item) {
  return (item.task === 0 ? '' : 'task ' + item.task + ' of ') + 'client ' + item.client;
}

function valueText(operation) {
  if (operation.value === -2) return null;
  return operation.value === -1 ? 'nothing' : visible(REPORT.values[operation.value]);
}

function moment(ns) {
  return ns === Infinity ? 'never' : ms(ns) + ' ms';
}

// What is known of a thing: a title, and names with texts.
function facts(item) {
  const fields = [];
  const add = (name, text) => { if (text !== null && text !== '') fields.push([name, String(text)]); };
  const token = item.token === '0' ? null : item.token;
  const lock = item.key === undefined ? null : visible(REPORT.keys[item.key]);
  let title = '';
  if (item.kind === 'operation') {
    title = (CULPRITS.has(item.index) ? 'contradicts: ' : '') + NOUNS[item.step] + ' of ' + who(item);
    add('outcome', OUTCOMES[item.outcome]);
    add('lock', lock);
    add('token', token);
    const hasTtl = item.ttl !== 0 && (item.step === 'acquire' || item.step === 'renew');
    add('ttl', hasTtl ? ms(item.ttl) + ' ms' : null);
    add('value', valueText(item));
    add('asked', moment(item.from));
    add('answered', moment(item.until));
    add('took', item.until === Infinity ? null : moment(item.until - item.from));
    add('number', item.index);
  } else if (item.kind === 'lease') {
    title = 'lease of token ' + item.token;
    add('lock', lock);
    add('granted to', who(OPERATIONS[item.grant]));
    add('may be held', 'from ' + moment(item.from));
    add('must be held', moment(item.sureFrom) + ' to ' + moment(item.sureUntil));
    add('over', item.until === Infinity ? 'nothing shows it' : 'by ' + moment(item.until));
  } else if (item.kind === 'belief') {
    title = who(item) + ' believes that it holds the lock';
    add('lock', lock);
    add('token', token);
    add('from', moment(item.from));
    add('to', moment(item.until));
    add('note', item.until < item.from ? 'it was handed out too late' : null);
  } else {
    title = item.kind === 'healed' ? 'nothing is at fault from here on' : visible(item.text);
    add('concerns', item.kind === 'healed' ? null : item.client === null ? 'the store' : 'client ' + item.client);
    add('from', moment(item.from));
    add('to', item.kind === 'healed' ? null : moment(item.until));
  }
  return { title, fields };
}

const ROWS_MOST = 12;

// Spreads things that overlap over as few rows as will do; what is still too much shares the last.
function pack(items) {
  const sorted = items.slice().sort((a, b) => a.from - b.from);
  const rows = [];
  for (const item of sorted) {
    let row = rows.find((one) => one.end < item.from);
    if (row === undefined) {
      if (rows.length < ROWS_MOST) rows.push(row = { items: [], end: -1 });
      else row = rows[ROWS_MOST - 1];
    }
    row.items.push(item);
    row.end = Math.max(row.end, item.until);
  }
  return rows.map((row) => row.items);
}

// The rows for one lock, or for all of them if `key` is -1.
function rowsOf(key) {
  const rows = [];
  const ofKey = (item) => key === -1 || item.key === key;
  const add = (label, kind, lists) => lists.forEach((items, at) => {
    // The latest end up to each item, by which the first one in view is found.
    let end = -Infinity;
    const reach = items.map((item) => (end = Math.max(end, item.until, item.from)));
    rows.push({ label: at === 0 ? label : '', kind, items, reach, isFirst: at === 0 });
  });
  add('faults', 'mark', pack(MARKS));
  const lanes = new Map();
  const lane = (item) => {
    const id = item.client * 65536 + item.task;
    if (!lanes.has(id)) lanes.set(id, { client: item.client, task: item.task, operations: [], beliefs: [] });
    return lanes.get(id);
  };
  for (const item of OPERATIONS) if (ofKey(item)) lane(item).operations.push(item);
  for (const item of BELIEFS) if (ofKey(item)) lane(item).beliefs.push(item);
  const ids = Array.from(lanes.keys()).sort((a, b) => a - b);
  const tasks = new Set(Array.from(lanes.values()).filter((one) => one.task !== 0).map((one) => one.client));
  for (const id of ids) {
    const one = lanes.get(id);
    const label = 'client ' + one.client + (tasks.has(one.client) ? ' / ' + one.task : '');
    const operations = pack(one.operations);
    add(label, 'operation', operations);
    add(operations.length === 0 ? label + ' believes' : 'believes', 'belief', pack(one.beliefs));
  }
  add('leases', 'lease', pack(LEASES.filter(ofKey)));
  return rows;
}

// The first item of a row that is not over before a moment.
function firstIn(row, from) {
  let low = 0;
  let high = row.reach.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (row.reach[middle] < from) low = middle + 1;
    else high = middle;
  }
  return low;
}
