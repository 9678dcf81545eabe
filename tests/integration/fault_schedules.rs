//! Random fault schedules (delivery.md section 9): two tenants talk, and all that can go wrong does, at random and at
//! once: invocations die, records are delivered several times at a time, posts fail in every way, sockets drop without
//! a word, Redis loses its data, Postgres cuts every connection, models fail, people stop answers and reset
//! conversations. A failure names its seed: `TEST_SEED=n` runs it alone, `TEST_SEEDS=n` runs so many. Timing is the
//! machine's own, so a seed is a schedule and not a recording.

mod check;
mod room;
mod tally;
mod worker;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use konstruct_protocol::Task;
use konstruct_tests::TestApp;
use konstruct_tests::app::World;
use konstruct_tests::fakes::FakeModel;
use konstruct_tests::seeds::{Chance, seeds};
use tokio::runtime::{Builder, Runtime};

use room::Room;
use tally::Tally;
use worker::Worker;

/// Leases end soon, so that the dead are missed soon.
const LEASE: Duration = Duration::from_millis(300);
/// Schedules at a time.
const AT_ONCE: usize = 6;

/// One schedule under way.
struct Schedule<'a> {
    seed: u64,
    chance: Chance,
    runtime: Runtime,
    app: TestApp,
    rooms: Vec<Room>,
    /// Redis loses its data in some schedules only, so that the others can be held to more.
    flushes: bool,
    queued: usize,
    tally: &'a Tally,
}

impl<'a> Schedule<'a> {
    fn new(world: &World, seed: u64, tally: &'a Tally) -> Self {
        let mut chance = Chance::of(seed);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        // Fakes of its own: schedules share nothing but the servers.
        let model = Arc::new(FakeModel::default());
        model.echo_slowly(Duration::from_millis(1 + chance.below(10)));
        model.calls_first("shop_find");
        let (gateway, queue, tools) = (Arc::default(), Arc::default(), Arc::default());
        let mut world =
            World { model, gateway, queue, tools, name: format!("schedule-{seed}"), ..world.clone() };
        world.limits.lease = LEASE;
        let count = 2 + usize::from(chance.once_in(3));
        let (app, rooms) = runtime.block_on(async {
            let app = world.app().await;
            let mut rooms = Vec::new();
            for n in 0..count {
                rooms.push(Room::open(&app, &format!("canary-{seed}-{n}"), &mut chance).await);
            }
            (app, rooms)
        });
        app.gateway().moody(chance.number());
        app.model().moody(chance.number());
        Self { seed, flushes: chance.once_in(3), chance, runtime, app, rooms, queued: 0, tally }
    }

    /// One thing happens.
    fn happen(&mut self) {
        let n = usize::try_from(self.chance.below(self.rooms.len() as u64)).unwrap();
        let Self { chance, app, rooms, tally, .. } = self;
        let room = &mut rooms[n];
        let flushes = self.flushes;
        self.runtime.block_on(async {
            match chance.below(100) {
                0..30 => room.send(app, chance).await,
                30..42 => room.send_again(app, chance).await,
                42..52 => room.lose_a_device(app, chance).await,
                52..62 => room.bring_devices_back(app).await,
                62..70 => room.cancel(app, tally).await,
                70..74 => room.reset(app, tally).await,
                74..78 => room.a_device_that_was_gone_before_it_came(app).await,
                78..84 => cut_postgres(app, tally).await,
                84..88 if flushes => room.flush(app, tally).await,
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(chance.below(40))).await;
        });
    }

    /// Hands what was queued to the workers.
    fn deliver(&mut self, workers: &[Sender<Task>]) {
        let sent = self.app.queue().sent();
        for sent in sent.iter().skip(self.queued) {
            let task = sent.task();
            let room = self.rooms.iter().position(|room| room.conversation == task.message.thread_id);
            workers[room.expect("a task of one of the rooms")].send(task).expect("its worker is there");
        }
        self.queued = sent.len();
    }

    fn run(mut self) {
        let world = self.app.world.clone();
        let tally = self.tally;
        let mut chances = self.chance.clone();
        std::thread::scope(|scope| {
            let mut workers = Vec::new();
            for room in &self.rooms {
                let (send, tasks) = channel();
                workers.push(send);
                let chance = Chance::of(chances.number());
                let worker = Worker::new(world.clone(), room.place(), chance, tally);
                scope.spawn(move || worker.run(tasks));
            }
            for _ in 0..20 + self.chance.below(20) {
                self.happen();
                self.deliver(&workers);
            }
            for n in 0..self.rooms.len() {
                let (app, room) = (&self.app, &mut self.rooms[n]);
                self.runtime.block_on(room.send_what_is_left(app));
            }
            self.deliver(&workers);
        });
        self.settle();
    }

    /// The faults are over: everyone comes back, and all is compared.
    fn settle(&mut self) {
        self.app.gateway().calm();
        let Self { seed, app, rooms, tally, .. } = self;
        self.runtime.block_on(async {
            for room in rooms.iter_mut() {
                room.bring_devices_back(app).await;
                check::devices_that_stayed_have_everything(app, room, *seed).await;
                room.reconnect_all(app).await;
            }
            for room in rooms.iter() {
                check::room(app, room, *seed, tally).await;
            }
            check::nothing_crossed(app, rooms, *seed);
            check::no_tool_ran_twice(app, *seed, tally);
            assert!(!app.gateway().overlapped(), "seed {seed}: two posts at once to one connection");
        });
        tally.posts_failed.fetch_add(self.app.gateway().failed(), Relaxed);
        tally.schedules.fetch_add(1, Relaxed);
    }
}

/// Postgres cuts every connection of this schedule, as a restart does.
async fn cut_postgres(app: &TestApp, tally: &Tally) {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1";
    app.root.query_one(sql, &[&app.world.name]).await.unwrap();
    tally.cuts.fetch_add(1, Relaxed);
}

/// proves AGNT-04, CHAT-07, CHAT-08, CHAT-09, CHAT-10, CHAT-11, CHAT-12, TEN-02
#[test]
fn whatever_fails_each_message_is_stored_once_and_ended_once_in_order() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(TestApp::start()).world;
    let left = Mutex::new(seeds(300));
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(seed) = { left.lock().unwrap().pop() } {
                    Schedule::new(&world, seed, &tally).run();
                }
            });
        }
    });
    tally.print();
    tally.check();
}
