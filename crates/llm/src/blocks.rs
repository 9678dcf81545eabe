//! Tool calls out of numbered blocks, as Anthropic and Bedrock stream them. It never runs one, nor judges its
//! arguments.

use konstruct_ports::{ModelError, ModelEvent, ToolCall};

use crate::clean;
use crate::failure::broken;

/// Most bytes of all calls of one answer, and most calls. No model means more; whoever sends more fills the memory.
pub(crate) const BYTES_MAX: usize = 4 * 1024 * 1024;
pub(crate) const CALLS_MAX: usize = 128;

/// Tool calls under construction, in the order they began.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    calls: Vec<Block>,
    /// Bytes of all of them.
    bytes: usize,
}

#[derive(Debug)]
struct Block {
    number: u64,
    call: ToolCall,
    /// Arguments that came with the beginning: they count where no piece follows.
    whole: String,
}

impl Blocks {
    /// Whether no call has begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// A call begins in this block. A block that began before is over: its number is free again. Some servers send all
    /// arguments with it.
    pub(crate) fn begin(
        &mut self,
        number: u64,
        id: &str,
        name: &str,
        whole: String,
    ) -> Result<(), ModelError> {
        let (id, name) = (clean::text(id).into_owned(), clean::text(name).into_owned());
        self.grow(id.len() + name.len() + whole.len())?;
        self.calls.push(Block { number, call: ToolCall { id, name, arguments: String::new() }, whole });
        if self.calls.len() > CALLS_MAX { Err(endless()) } else { Ok(()) }
    }

    /// A piece of the arguments of the call in this block; whether there is one.
    pub(crate) fn piece(&mut self, number: u64, arguments: &str) -> Result<bool, ModelError> {
        self.grow(arguments.len())?;
        let Some(block) = self.calls.iter_mut().rfind(|block| block.number == number) else {
            return Ok(false);
        };
        block.call.arguments.push_str(arguments);
        Ok(true)
    }

    /// The calls, whole. One without an id gets one, made of the answer's id.
    pub(crate) fn finish(&mut self, answer_id: &str) -> Result<Vec<ModelEvent>, ModelError> {
        let calls = std::mem::take(&mut self.calls);
        let whole = calls.into_iter().enumerate().map(|(place, Block { call, whole, .. })| {
            if call.name.is_empty() {
                return Err(broken("tool call without a name"));
            }
            let id = if call.id.is_empty() { format!("call_{answer_id}_{place}") } else { call.id };
            let came = if call.arguments.trim().is_empty() { &whole } else { &call.arguments };
            let arguments = clean::arguments(came);
            Ok(ModelEvent::ToolCall(ToolCall { id, name: call.name, arguments }))
        });
        whole.collect()
    }

    fn grow(&mut self, bytes: usize) -> Result<(), ModelError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > BYTES_MAX { Err(endless()) } else { Ok(()) }
    }
}

fn endless() -> ModelError {
    broken("stream has tool calls that do not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, name: &str, arguments: &str) -> ModelEvent {
        let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
        ModelEvent::ToolCall(ToolCall { id, name, arguments })
    }

    #[test]
    fn pieces_go_to_the_call_of_their_block() {
        let mut blocks = Blocks::default();
        blocks.begin(1, "a", "f", String::new()).unwrap();
        blocks.begin(2, "b", "g", String::new()).unwrap();
        for (block, piece) in [(1, ""), (2, "{\"x\""), (1, "{\"y\":2}"), (2, ":1}")] {
            assert_eq!(blocks.piece(block, piece), Ok(true));
        }
        assert_eq!(blocks.piece(3, "{"), Ok(false));
        assert_eq!(blocks.finish("m"), Ok(vec![call("a", "f", "{\"y\":2}"), call("b", "g", "{\"x\":1}")]));
        assert!(blocks.is_empty());
    }

    #[test]
    fn no_arguments_are_an_empty_object_and_no_id_is_one_of_ours() {
        let mut blocks = Blocks::default();
        blocks.begin(0, "", "f", String::new()).unwrap();
        blocks.begin(0, "b", "g", String::new()).unwrap();
        blocks.piece(0, "").unwrap();
        assert_eq!(blocks.finish("m"), Ok(vec![call("call_m_0", "f", "{}"), call("b", "g", "{}")]));
    }

    #[test]
    fn arguments_that_come_whole_count_where_no_piece_follows() {
        let mut blocks = Blocks::default();
        blocks.begin(0, "a", "f", "{\"x\":1}".to_owned()).unwrap();
        blocks.begin(1, "b", "g", "{\"x\":1}".to_owned()).unwrap();
        blocks.piece(0, "").unwrap();
        blocks.piece(1, "{\"y\":2}").unwrap();
        assert_eq!(blocks.finish("m"), Ok(vec![call("a", "f", "{\"x\":1}"), call("b", "g", "{\"y\":2}")]));
    }

    #[test]
    fn a_call_without_a_name_is_an_error() {
        let mut blocks = Blocks::default();
        blocks.begin(0, "a", "\0", String::new()).unwrap();
        assert!(blocks.finish("m").unwrap_err().is_retryable());
    }

    #[test]
    fn calls_without_end_are_given_up() {
        let mut blocks = Blocks::default();
        blocks.begin(0, "a", "f", String::new()).unwrap();
        let piece = "x".repeat(1 << 20);
        assert_eq!((0..64).position(|_| blocks.piece(0, &piece).is_err()), Some(3));
        let mut blocks = Blocks::default();
        assert_eq!(
            (0..=CALLS_MAX).position(|_| blocks.begin(0, "a", "f", String::new()).is_err()),
            Some(CALLS_MAX)
        );
    }
}
