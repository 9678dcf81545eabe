//! Fakes for what cannot run here: the gateway, the queue, the model, the clock, and new ids. Each records what it
//! was asked; none decides anything that its script does not say.

pub mod channel;
pub mod clock;
pub mod gateway;
pub mod installer;
pub mod model;
pub mod queue;
pub mod tools;

pub use channel::FakeChannel;
pub use clock::{CountingIds, FixedClock};
pub use gateway::{FakeGateway, Post};
pub use installer::FakeInstaller;
pub use model::{Beat, FakeModel, Script, Signal};
pub use queue::{FakeQueue, Sent};
pub use tools::FakeTools;
