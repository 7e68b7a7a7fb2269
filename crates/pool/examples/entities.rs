//! Game entities: made and removed in any order, walked over in each frame, named by others that must
//! notice when they are gone. Handles: [`HandlePool`].
//!
//! ```console
//! $ cargo run -p stratalloc-pool --example entities
//! ```

use stratalloc_pool::{Handle, HandlePool};

struct Entity {
    position: f32,
    speed: f32,
    /// May be gone; the handle tells.
    target: Option<Handle<Entity>>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut world = HandlePool::new();
    let mut handles = Vec::new();
    for number in 0..10_000 {
        let target = handles.last().copied();
        let entity = Entity { position: 0.0, speed: number as f32, target };
        handles.push(world.insert(entity).map_err(|refused| refused.error)?);
    }

    // Nine of ten die.
    world.retain(|_, entity| entity.speed % 10.0 == 0.0);
    let lost =
        world.iter().filter(|(_, entity)| entity.target.is_some_and(|target| !world.contains(target))).count();
    println!("{} live, {lost} lost their targets", world.len());

    // The rest moves together: a frame walks over a tenth of the memory, and the tail is given back.
    let before = world.stats().bytes;
    let done = world.compact();
    println!("{} moved, {} of {before} bytes given back", done.moved, done.released);
    for (_, entity) in &mut world {
        entity.position += entity.speed / 60.0;
    }

    // The survivors of a level go on to the next one's pool. All handles stay as they are.
    let mut next = HandlePool::new();
    let hero = handles[20];
    world.migrate(hero, &mut next)?;
    assert!(world.get(hero).is_err());
    println!("the hero is at {:.2} in a world of {}", next[hero].position, next.len());
    println!("{}", world.migrate_to(&mut next)?);
    assert_eq!(next.len(), 1000);
    Ok(())
}
