//! A connection on which an answer is read although the request could not be written to its end.
//!
//! A host that refuses an upload answers before it has read the body, and closes the connection. The rest of the body
//! cannot be written then, but the reason is there to be read.

use std::io;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Makes such connections of those that it is given.
#[derive(Debug)]
pub struct ReadRefusals;

/// Such a connection.
#[derive(Debug)]
pub struct RefusalsAreRead<T> {
    inner: T,
    /// The other side takes no more.
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
