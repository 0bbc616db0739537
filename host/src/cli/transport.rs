//! A ureq transport that reads the response although the request body could not be sent.
//!
//! A host that refuses an upload responds before it has read the body, and closes the connection.
//! Sending the rest of the body then fails, but the response can still be read.

use std::io;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Wraps each connection in [`RefusalsAreRead`].
#[derive(Debug)]
pub struct ReadRefusals;

/// A connection that reads the response although sending failed.
#[derive(Debug)]
pub struct RefusalsAreRead<T> {
    inner: T,
    /// Whether the other side no longer receives data.
    is_closed: bool,
}

impl<In: Transport> Connector<In> for ReadRefusals {
    type Out = RefusalsAreRead<In>;

    fn connect(
        &self,
        _details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| RefusalsAreRead {
            inner,
            is_closed: false,
        }))
    }
}

impl<T: Transport> Transport for RefusalsAreRead<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.is_closed {
            return Ok(());
        }
        match self.inner.transmit_output(amount, timeout) {
            Err(Error::Io(error)) if is_closed(&error) => {
                self.is_closed = true;
                Ok(())
            }
            result => result,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        !self.is_closed && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted)
}
