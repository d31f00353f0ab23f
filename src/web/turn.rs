//! Lets the event loop have its turn, and comes back at once: by a message to oneself. `setTimeout` would
//! take 4 ms from the fifth time on, and a resolved promise comes before everything that waits.

use super::driver::{Driver, with};
use crate::node::Event;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use web_sys::MessagePort;

#[wasm_bindgen]
extern "C" {
    /// As web-sys has it, without the error that there is not.
    type MessageChannel;
    #[wasm_bindgen(constructor)]
    fn new() -> MessageChannel;
    #[wasm_bindgen(method, getter)]
    fn port1(this: &MessageChannel) -> MessagePort;
    #[wasm_bindgen(method, getter)]
    fn port2(this: &MessageChannel) -> MessagePort;
}

/// See the module.
pub struct Turn {
    ask: MessagePort,
    answer: MessagePort,
    _on_answer: Closure<dyn FnMut()>,
}

impl Turn {
    fn new(on_answer: impl FnMut() + 'static) -> Turn {
        let channel = MessageChannel::new();
        let on_answer = Closure::<dyn FnMut()>::new(on_answer);
        channel.port1().set_onmessage(Some(on_answer.as_ref().unchecked_ref()));
        Turn { ask: channel.port2(), answer: channel.port1(), _on_answer: on_answer }
    }

    fn ask(&self) {
        // Null can always be sent.
        let _sent = self.ask.post_message(&JsValue::NULL);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.answer.set_onmessage(None);
        self.answer.close();
    }
}

impl Driver {
    /// What waits in the event loop first, then the node again.
    pub(super) fn yields(self: &Rc<Self>) {
        let on_answer = with(&Rc::downgrade(self), |driver| driver.dispatch(Event::Yielded));
        self.turn.borrow_mut().get_or_insert_with(|| Turn::new(on_answer)).ask();
    }
}
