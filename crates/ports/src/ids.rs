//! Where new ids come from.

use uuid::Uuid;

/// Makes ids.
pub trait Ids: Send + Sync {
    /// A new UUIDv7: grows with time, so that indexes stay dense.
    fn new_id(&self) -> Uuid;
}
