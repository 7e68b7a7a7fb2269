//! `game`: frames with scratch memory, entities that come and go, assets that arrive, a budget of 16 ms.
//!
//! **Models** a game's main loop. Each frame builds and drops its scratch (visible lists that grow, contact lists, texts of the
//! interface, draw commands, queued closures), spawns and removes entities made of several blocks, and every
//! few frames takes an asset from a loader thread: a packed buffer and a texture with its smaller copies, which the main thread
//! frees when the asset is dropped. Every 90 frames a new level drops everything and loads anew. Frames follow one
//! another without sleeping; what a frame does besides allocating is to write what it allocated, once.
//!
//! **Source**: the pattern of Gregory, "Game Engine Architecture" (single-frame and long-lived allocations, level loads), and the
//! usual budget of 60 frames a second.
//!
//! **Sensitive to** the worst call and not the mean: big blocks that are mapped, cleared and given back at bad moments,
//! purging in the middle of a frame, and bursts of small frees.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use stratalloc_bench_protocol::Group;

use super::shapes::{self, SMALL};
use crate::measure::Run;
use crate::random::{Random, mix};
use crate::registry::{Parameters, Threads, Workload};

pub const WORKLOAD: Workload = Workload {
    name: "game",
    group: Group::Scene,
    models: "a main loop of frames with scratch memory, entities, and assets from a loader thread",
    source: "after Gregory, Game Engine Architecture; budget of 60 frames a second",
    sensitive_to: "the worst moments: big blocks mapped or given back within a frame, bursts of frees",
    threads: Threads::Fixed(2),
    latency: true,
    run,
};

const FRAMES: u64 = 360;
const FRAMES_A_LEVEL: u64 = 90;
/// A frame's budget, milliseconds.
const BUDGET: f64 = 16.0;
const ENTITIES: usize = 12_000;
/// Frames from an asset's request to its use.
const AHEAD: usize = 4;
/// A texture's bytes, the smaller copies not counted.
const TEXTURE: (usize, usize) = (64 << 10, 6 << 20);
/// Assets kept at most, and those that a level must have before its first frame.
const ASSETS: usize = 20;
const LEVEL_ASSETS: u64 = 6;

struct Entity {
    name: String,
    transform: [f32; 16],
    components: Vec<Box<[u8]>>,
}

struct Asset {
    path: String,
    /// The texture and its copies, each a quarter of the one before.
    levels: Vec<Box<[u8]>>,
}

/// What is to happen at the end of a frame.
type Event = Box<dyn FnOnce(&mut u64)>;

/// What to load: its number and its texture's bytes.
type Order = (u64, usize);

struct World {
    random: Random,
    #[expect(clippy::vec_box, reason = "engines keep entities where they are, as others point to them")]
    entities: Vec<Box<Entity>>,
    assets: Vec<Asset>,
    sum: u64,
}

fn run(parameters: &Parameters, run: &mut Run) {
    let frames = parameters.scaled(FRAMES);
    let mut times: Vec<f64> = Vec::with_capacity(frames as usize);
    run.start();
    let sum = thread::scope(|scope| {
        // Room for every order that may be under way, so that a request never waits.
        let (orders, wanted) = sync_channel::<Order>(AHEAD);
        let (loaded, assets) = sync_channel::<Asset>(AHEAD);
        scope.spawn(move || wanted.iter().try_for_each(|order| loaded.send(load(order))));
        play(parameters.seed, frames, &orders, &assets, &mut times)
    });
    run.stop();
    run.operations(frames);
    run.checksum(sum);
    times.sort_unstable_by(f64::total_cmp);
    run.extra("frames over 16 ms", times.iter().filter(|&&time| time > BUDGET).count() as f64);
    run.extra("worst frame, ms", times[times.len() - 1]);
    run.extra("99th percentile of frames, ms", times[(times.len() * 99).div_ceil(100) - 1]);
}

/// The main loop; each frame's milliseconds go to `times`.
fn play(
    seed: u64,
    frames: u64,
    orders: &SyncSender<Order>,
    loaded: &Receiver<Asset>,
    times: &mut Vec<f64>,
) -> u64 {
    let random = Random::new(seed);
    let mut world = World { random, entities: Vec::new(), assets: Vec::new(), sum: 0 };
    let mut under_way = 0;
    for frame in 0..frames {
        let start = Instant::now();
        if frame % FRAMES_A_LEVEL == 0 {
            world.change_level(frame);
        }
        world.spawn_and_remove(frame);
        world.frame(frame);
        if frame % 3 == 0 {
            if under_way == AHEAD {
                world.take_in(loaded.recv().expect("the loader answers each order"));
                under_way -= 1;
            }
            orders
                .send((frame, world.random.log_between(TEXTURE.0, TEXTURE.1)))
                .expect("the loader waits for orders");
            under_way += 1;
        }
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    for _ in 0..under_way {
        world.take_in(loaded.recv().expect("the loader answers each order"));
    }
    world.sum
}

/// Reads and unpacks an asset.
fn load((number, size): Order) -> Asset {
    let path = format!("assets/textures/level/{number:08}.texture");
    let packed = shapes::block(size / 3, number);
    let mut texture = vec![(number as u8) | 1; size];
    texture[..packed.len()].copy_from_slice(&packed);
    let mut levels = vec![texture.into_boxed_slice()];
    let mut size = size / 4;
    while size >= 256 {
        levels.push(shapes::block(size, number));
        size /= 4;
    }
    Asset { path, levels }
}

impl World {
    fn change_level(&mut self, frame: u64) {
        self.entities.clear();
        self.assets.clear();
        for number in 0..LEVEL_ASSETS {
            let size = self.random.log_between(TEXTURE.0, TEXTURE.1);
            self.take_in(load((frame * 1000 + number, size)));
        }
        while self.entities.len() < ENTITIES {
            self.spawn();
        }
    }

    /// Keeps an asset; beyond the limit a random one goes.
    fn take_in(&mut self, asset: Asset) {
        let size: usize = asset.levels.iter().map(|level| level.len()).sum();
        self.sum = self.sum.wrapping_add(mix(size as u64 ^ shapes::read(asset.path.as_bytes())));
        if self.assets.len() < ASSETS {
            self.assets.push(asset);
        } else {
            let old = self.random.index(ASSETS);
            self.assets[old] = asset;
        }
    }

    fn spawn(&mut self) {
        let number = self.random.next();
        let components =
            (0..self.random.between(2, 6)).map(|_| shapes::block(SMALL.pick(&mut self.random), number));
        let components = components.collect();
        let name = format!("entity-{:x}", number >> 44);
        self.entities.push(Box::new(Entity { name, transform: [number as f32; 16], components }));
    }

    /// A few entities each frame, an explosion now and then.
    fn spawn_and_remove(&mut self, frame: u64) {
        let number = if frame % 30 == 29 { 2000 } else { 100 };
        for _ in 0..number {
            let place = self.random.index(self.entities.len());
            let gone = self.entities.swap_remove(place);
            self.sum = self.sum.wrapping_add(mix(shapes::read(&gone.components[0]) ^ gone.name.len() as u64));
        }
        for _ in 0..number {
            self.spawn();
        }
    }

    /// The scratch of one frame, all of it gone at its end.
    fn frame(&mut self, frame: u64) {
        let mut visible: Vec<(u32, f32)> = Vec::new();
        let mut contacts: Vec<Vec<u32>> = Vec::new();
        let mut events: Vec<Event> = Vec::new();
        for (index, entity) in self.entities.iter().enumerate() {
            if (index as u64 + frame).is_multiple_of(3) {
                visible.push((index as u32, entity.transform[index % 16]));
            }
            if index % 4 == 0 {
                let mut near = Vec::new();
                near.extend((0..self.random.below(12)).map(|offset| index as u32 + offset as u32));
                contacts.push(near);
            }
            if index % 8 == 0 {
                let state = [index as u64, frame, 3, 4];
                events.push(Box::new(move |sum| *sum = sum.wrapping_add(mix(state[0] ^ state[1]))));
            }
        }
        let commands: Vec<Box<[u8]>> =
            visible.iter().step_by(2).map(|&(index, _)| shapes::block(96, index.into())).collect();
        let labels: Vec<String> =
            (0..300).map(|line| format!("label {line}: frame {frame}, {} shown", visible.len())).collect();
        let particles = vec![1.0_f32 + frame as f32; self.random.between(1000, 60_000)];
        let mut seen = labels.iter().map(|label| label.len() as u64).sum::<u64>();
        seen += contacts.iter().map(|near| near.len() as u64).sum::<u64>() + particles.len() as u64;
        seen = seen.wrapping_add(
            commands.iter().step_by(16).map(|command| shapes::read(command)).fold(0, u64::wrapping_add),
        );
        for event in events {
            event(&mut seen);
        }
        self.sum = self.sum.wrapping_add(mix(seen));
    }
}
