# The script of the workload `python`: records in dictionaries, lists, JSON, regular expressions, trees of objects, strings.
# One unit of work is a batch of each; what lives on is a store of 20,000 records that each batch replaces a part of.
import hashlib
import json
import random
import re


class Node:
    __slots__ = ("key", "value", "left", "right")

    def __init__(self, key, value):
        self.key, self.value, self.left, self.right = key, value, None, None


def insert(root, key, value):
    node = root
    while True:
        if key == node.key:
            node.value = value
            return
        child = node.left if key < node.key else node.right
        if child is None:
            if key < node.key:
                node.left = Node(key, value)
            else:
                node.right = Node(key, value)
            return
        node = child


def depth(node):
    return 0 if node is None else 1 + max(depth(node.left), depth(node.right))


def record(dice, number):
    return {
        "id": number,
        "name": f"user-{number:x}",
        "tags": ["tag-%d" % dice.randrange(500) for _ in range(dice.randrange(6))],
        "score": dice.random(),
        "notes": "n" * dice.randrange(200),
    }


def work(batches):
    dice = random.Random(20)
    digest = hashlib.sha256()
    store = {}
    word = re.compile(r"(\w+)-([0-9a-f]+)")
    for batch in range(batches):
        for _ in range(1500):
            key = dice.randrange(20000)
            store[key] = record(dice, key)
        chosen = [store[key] for key in sorted(store)[batch % 17 :: 289]]
        text = json.dumps(chosen)
        again = json.loads(text)
        found = word.findall(text)
        text = word.sub(lambda match: match.group(2).upper() + "/" + match.group(1), text)
        root = Node(50000, None)
        for _ in range(300):
            insert(root, dice.randrange(100000), [batch])
        words = text.split(" ")
        words.sort(key=len)
        counts = {}
        for item in words:
            counts[item[:3]] = counts.get(item[:3], 0) + 1
        lines = "\n".join(f"{key}={value}" for key, value in sorted(counts.items()))
        big = [float(index) for index in range(2000)]
        big.extend(entry["score"] for entry in again)
        state = (len(again), len(found), depth(root), sum(big), lines, text[-500:])
        digest.update(repr(state).encode())
    print(batches, len(store), digest.hexdigest())


work(@WORK@)
