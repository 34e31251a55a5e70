//! The requests.

use super::ModelDevice;
use super::call::{InFlight, Landing};
use crate::device::{
    BufferFuture, BufferRef, Device, DeviceError, Geometry, MutableBufferRef, WriteOptions,
};
use crate::model::request::Request;

impl Device for ModelDevice {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.shared.buffers.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        let length = buffer.len() as u64;
        let call = InFlight::begin(self, Request::Read { offset, length })?;
        call.suspend(1, 3).await;
        let buffer = buffer.as_mut_slice();
        let read = call.effect(|state, _| {
            let loaded = call.failure(state).map_or(Ok(()), Err);
            let loaded = loaded.and_then(|()| state.load(offset, buffer));
            if loaded.is_err() {
                state.spoil(offset, buffer);
                return Ok((loaded, None));
            }
            let torn = state.weak.suspends && length > 0 && state.chance.chance(1, 4);
            Ok((Ok(()), torn.then(|| state.chance.below(length))))
        });
        let (result, torn_at) = read?;
        if let Some(at) = torn_at.and_then(|at| usize::try_from(at).ok()) {
            call.suspend(1, 2).await;
            // It has been found to be readable, and what was written since is readable too.
            call.effect(|state, _| state.load(offset + at as u64, &mut buffer[at..]))?;
        }
        call.answer(result).await
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        let length = buffer.len() as u64;
        let request = Request::Write { offset, length, fua: options.fua };
        let call = InFlight::begin(self, request)?;
        let result = transfer(&call, offset, buffer).await?;
        changed(call, request, result).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let call = InFlight::begin(self, Request::Flush)?;
        call.suspend(1, 3).await;
        let synced = call.sync(|state, _| state.unsynced.sync(|it| it.change < call.mark));
        call.answer(synced).await
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        let call = InFlight::begin(self, Request::Barrier)?;
        call.suspend(1, 3).await;
        let ordered = call.sync(|state, _| {
            if state.weak.barrier { state.order(call.mark) } else { state.unsynced.sync(|_| true) }
        });
        call.answer(ordered).await
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        trim(self, offset, length, false).await
    }

    async fn trim_fua(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        trim(self, offset, length, true).await
    }

    async fn drain(&self) -> Result<(), DeviceError> {
        let call = InFlight::begin(self, Request::Drain)?;
        call.wait_for_others().await;
        call.effect(|state, _| {
            // Nothing that was dropped lands later.
            state.drift(2, true);
            Ok(())
        })?;
        call.answer(Ok(())).await
    }

    async fn close(&self) -> Result<(), DeviceError> {
        let call = InFlight::begin(self, Request::Close)?;
        call.wait_for_others().await;
        call.suspend(1, 3).await;
        let flushed = call.effect(|state, _| Ok(state.close_flushed))?;
        if flushed {
            return call.answer(Ok(())).await;
        }
        let synced = call.sync(|state, _| {
            state.unsynced.sync(|_| true);
            state.close_flushed = true;
        });
        call.answer(synced).await
    }
}

/// Trims, and makes that durable where it is to be.
async fn trim(
    device: &ModelDevice,
    offset: u64,
    length: u64,
    fua: bool,
) -> Result<(), DeviceError> {
    let request = Request::Trim { offset, length, fua };
    let call = InFlight::begin(device, request)?;
    call.suspend(1, 3).await;
    let trimmed = call.effect(|state, number| {
        let failed = call.failure(state);
        state.trim(number, &(offset..offset + length), failed.is_some());
        Ok(failed.map_or(Ok(()), Err))
    })?;
    changed(call, request, trimmed).await
}

/// Answers a change like this; one that is to be durable, once it is.
async fn changed(
    call: InFlight<'_>,
    request: Request,
    result: Result<(), DeviceError>,
) -> Result<(), DeviceError> {
    if result.is_err() || !request.makes_durable() {
        return call.answer(result).await;
    }
    call.suspend(0, 2).await;
    let synced = call.sync(|state, number| {
        let weak = state.weak.fua;
        if weak { state.unsynced.sync_request(number) } else { state.unsynced.sync(|_| true) }
    });
    call.answer(synced).await
}

/// Writes the data, in one part or two. Gives what the write answers, unless the power fails.
///
/// # Errors
///
/// If the power has failed meanwhile.
async fn transfer(
    call: &InFlight<'_>,
    offset: u64,
    data: BufferRef<'_>,
) -> Result<Result<(), DeviceError>, DeviceError> {
    let mut landing = Landing::new(call, offset, data);
    call.suspend(1, 3).await;
    let result = call.effect(|state, _| {
        let failed = call.failure(state);
        landing.begin(state, failed.is_some());
        Ok(failed.map_or(Ok(()), Err))
    })?;
    if landing.is_pending() {
        call.suspend(1, 2).await;
        call.effect(|state, _| {
            landing.finish(state);
            Ok(())
        })?;
    }
    Ok(result)
}
