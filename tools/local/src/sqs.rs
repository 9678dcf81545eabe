//! SQS as Lambda's event source and as the functions reach it; the queues themselves are ministack's.
//! A queue's rules (order, visibility, dead letters) must not be repeated here.

pub mod batch;
pub mod client;
pub mod delivery;
pub mod figures;
pub mod poller;
pub mod proxy;
pub mod queues;
pub mod record;
