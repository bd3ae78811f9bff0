//! Every order in which threads can meet at the booth that ships. Run by
//! `RUSTFLAGS="--cfg loom" cargo test --release -p moorline-buffers -p moorline-session --lib model`.

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread::spawn;

use super::*;

/// Without a bound two threads can find each other at the booth for ever.
fn check(preemption_bound: usize, scene: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemption_bound);
    model.check(scene);
}

/// What each thread says, and what was done about it by whoever was inside. Words are written and
/// read without any order of their own: only the booth makes one thread see what another has said.
struct Scene {
    said: [AtomicUsize; 3],
    booth: Booth<[usize; 3]>,
}

impl Scene {
    fn new() -> Arc<Self> {
        Arc::new(Self { said: Default::default(), booth: Booth::new([0; 3]) })
    }

    fn work(&self, done: &mut [usize; 3]) {
        for (done, said) in done.iter_mut().zip(&self.said) {
            *done = said.load(Relaxed);
        }
    }

    /// Says one word more, and knocks. Whether this thread was inside.
    fn say(&self, who: usize) -> bool {
        let words = self.said[who].load(Relaxed);
        self.said[who].store(words + 1, Relaxed);
        self.booth.knock(|done| self.work(done)).is_some()
    }

    fn done(&self) -> [usize; 3] {
        self.booth.step_in(|done| *done).expect("everybody has left").result
    }
}

fn beside(scene: &Arc<Scene>, act: fn(&Scene)) -> loom::thread::JoinHandle<()> {
    let scene = Arc::clone(scene);
    spawn(move || act(&scene))
}

#[test]
fn of_two_who_knock_twice_nothing_is_lost() {
    check(5, || {
        let scene = Scene::new();
        let other = beside(&scene, |scene| _ = (scene.say(1), scene.say(1)));
        let _ = (scene.say(0), scene.say(0));
        other.join().unwrap();
        assert_eq!(scene.done(), [2, 2, 0]);
    });
}

#[test]
fn of_three_who_knock_nothing_is_lost() {
    check(3, || {
        let scene = Scene::new();
        let others =
            [beside(&scene, |scene| _ = scene.say(1)), beside(&scene, |scene| _ = scene.say(2))];
        scene.say(0);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(scene.done(), [1, 1, 1]);
    });
}

/// Who is inside for something else does the work of those who knocked.
#[test]
fn who_steps_in_knows_of_everybody_who_knocked_meanwhile() {
    check(5, || {
        let scene = Scene::new();
        let other = beside(&scene, |scene| _ = scene.say(1));
        if scene.booth.step_in(|_| ()).is_some_and(|stay| stay.knocked) {
            scene.booth.knock(|done| scene.work(done));
        }
        other.join().unwrap();
        assert_eq!(scene.done(), [0, 1, 0]);
    });
}

/// Who finds the booth taken, and is told of the work that somebody else does for it: so a driver
/// that sleeps knows how the writing went.
#[test]
fn whoever_does_the_work_of_others_knows_that_it_did() {
    check(5, || {
        let scene = Scene::new();
        let told = Arc::new(AtomicUsize::new(0));
        let other = {
            let (scene, told) = (Arc::clone(&scene), Arc::clone(&told));
            spawn(move || {
                let stay = scene.booth.knock(|done| scene.work(done));
                told.fetch_add(stay.is_some_and(|stay| stay.knocked).into(), Relaxed);
            })
        };
        let was_inside = scene.say(0);
        other.join().unwrap();
        assert!(was_inside || told.load(Relaxed) == 1);
        assert_eq!(scene.done(), [1, 0, 0]);
    });
}
