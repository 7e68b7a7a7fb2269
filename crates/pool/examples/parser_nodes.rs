//! Parser nodes: many sizes, pointing at each other in every direction, dying in heaps when the text
//! changes. A heap that collects what the root does not reach and closes the gaps in small steps, so that
//! an editor never halts: [`CompactHeap`].
//!
//! ```console
//! $ cargo run -p stratalloc-pool --example parser_nodes
//! ```

use stratalloc_pool::{AcquireError, Budget, CompactHeap, Handle, HandleError, Trace, Tracer};

/// The head of a node; its children are the object's items.
struct Node {
    text: &'static str,
    parent: Option<Handle<Node>>,
}

struct Child(Handle<Node>);

impl Trace for Node {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.parent.trace(tracer);
    }
}

impl Trace for Child {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.0.trace(tracer);
    }
}

type Tree = CompactHeap<Node, Child>;

/// A node of `depth` levels below it, with two to five children each.
fn grow(tree: &mut Tree, depth: usize) -> Result<Handle<Node>, AcquireError> {
    let text = ["leaf", "call", "block", "item", "module"][depth.min(4)];
    let width = if depth == 0 { 0 } else { 2 + depth % 4 };
    let children = (0..width).map(|_| grow(tree, depth - 1)).collect::<Result<Vec<_>, _>>()?;
    let node = tree.insert_with(Node { text, parent: None }, width, |index| Child(children[index]))?;
    for child in children {
        if let Ok(object) = tree.get_mut(child) {
            object.head.parent = Some(node);
        }
    }
    Ok(node)
}

fn count(tree: &Tree, node: Handle<Node>) -> Result<usize, HandleError> {
    let object = tree.get(node)?;
    object.items.iter().try_fold(1, |sum, child| Ok(sum + count(tree, child.0)?))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut tree = Tree::new();
    let root = grow(&mut tree, 6)?;
    println!("{} nodes below {:?}; {:?}", count(&tree, root)?, tree.get(root)?.head.text, tree.figures());

    // An edit: the last child of the root is parsed again. The old one is a cycle of parents and children.
    let new = grow(&mut tree, 5)?;
    tree.get_mut(new)?.head.parent = Some(root);
    let items = tree.get_mut(root)?.items;
    items[0] = Child(new);
    let lost = tree.collect([root])?;
    println!("{lost} nodes were reached no more; {:?}", tree.figures());

    // Between two key strokes: a few microseconds each.
    let mut steps = 1;
    while !tree.compact_step(Budget::bytes(4096).and_visits(256)).done {
        assert_eq!(tree.get(root)?.head.text, "module");
        steps += 1;
    }
    println!("compacted in {steps} steps; {} nodes; {:?}", count(&tree, root)?, tree.figures());
    Ok(())
}
