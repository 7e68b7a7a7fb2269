// The script of the workload `node`: buffers of all sizes that are filled, joined and dropped, compression in both directions,
// JSON, maps of objects, hashes. Buffers live outside V8's heap, in memory from malloc or calloc.
'use strict';
const crypto = require('node:crypto');
const zlib = require('node:zlib');

let state = 42;
function below(bound) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 4294967296) * bound);
}

const digest = crypto.createHash('sha256');
const store = new Map();
const kept = [];
for (let batch = 0; batch < @WORK@; batch++) {
  for (let i = 0; i < 300; i++) {
    const key = below(10000);
    store.set(key, { id: key, name: `user-${key.toString(16)}`, tags: Array.from({ length: below(6) }, () => below(500)) });
  }
  const chosen = [...store.keys()].sort((a, b) => a - b).filter((_, index) => index % 37 === batch % 37);
  const text = JSON.stringify(chosen.map((key) => store.get(key)));
  const again = JSON.parse(text);
  for (let i = 0; i < 150; i++) {
    // Slow buffers have memory of their own; from a kilobyte to 64.
    const buffer = Buffer.allocUnsafeSlow(1024 << below(7)).fill(i);
    if (kept.length < 200) kept.push(buffer);
    else kept[below(200)] = buffer;
  }
  const joined = Buffer.concat(kept.slice(0, 20));
  const packed = zlib.deflateSync(joined, { level: 1 });
  const unpacked = zlib.inflateSync(packed);
  const zeros = new Float64Array(5000 + below(5000));
  zeros[batch % zeros.length] = batch;
  digest.update(`${again.length} ${unpacked.length} ${zeros.length} `);
  digest.update(text);
  digest.update(unpacked.subarray(0, 4096));
}
console.log(store.size, digest.digest('hex'));
