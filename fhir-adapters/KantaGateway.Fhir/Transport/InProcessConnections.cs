using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;

namespace KantaGateway.Fhir.Transport;

/// <summary>Name of a part of this process, as a listener binds it.</summary>
public sealed class InProcessEndPoint(string name) : EndPoint
{
    public string Name => name;

    public override AddressFamily AddressFamily => AddressFamily.Unspecified;

    public override string ToString() => "process:" + name;
}

/// <summary>Kestrel's transport for <see cref="InProcessEndPoint"/>, beside that of sockets.</summary>
public sealed class InProcessListenerFactory : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    public bool CanBind(EndPoint endpoint) => endpoint is InProcessEndPoint;

    /// <exception cref="AddressInUseException">Another part of the process has this name.</exception>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(InProcessConnections.Bind((InProcessEndPoint)endpoint));
}

/// <summary>
/// Connections within the process: two pipes for each, and no system call. What one side writes, the other goes on with on the
/// same thread as far as it gets without waiting.
/// </summary>
static class InProcessConnections
{
    private static readonly ConcurrentDictionary<string, Listener> Listeners = new(StringComparer.Ordinal);

    /// <summary>The request is served where it is written. What answers it may hold a lock of the connection, so it goes on elsewhere.</summary>
    private static readonly PipeOptions
        ToServer = new(readerScheduler: PipeScheduler.Inline, writerScheduler: PipeScheduler.ThreadPool, useSynchronizationContext: false),
        ToClient = new(readerScheduler: PipeScheduler.ThreadPool, writerScheduler: PipeScheduler.ThreadPool, useSynchronizationContext: false);

    /// <summary>A client's end of a new connection.</summary>
    /// <exception cref="SocketException">Nobody listens under the name.</exception>
    public static async ValueTask<Stream> ConnectAsync(string name, CancellationToken cancel)
    {
        if (!Listeners.TryGetValue(name, out var listener))
            throw new SocketException((int)SocketError.ConnectionRefused);
        var (toServer, toClient) = (new Pipe(ToServer), new Pipe(ToClient));
        var connection = new Connection(toServer.Reader, toClient.Writer, listener.EndPoint);
        try
        {
            await listener.Waiting.Writer.WriteAsync(connection, cancel).ConfigureAwait(false);
        }
        catch (ChannelClosedException)
        {
            throw new SocketException((int)SocketError.ConnectionRefused);
        }
        return new ClientStream(toClient.Reader, toServer.Writer, connection);
    }

    public static IConnectionListener Bind(InProcessEndPoint endpoint)
    {
        var listener = new Listener(endpoint);
        return Listeners.TryAdd(endpoint.Name, listener) ? listener : throw new AddressInUseException($"A part of this process is called {endpoint.Name} already.");
    }

    private sealed class Listener(InProcessEndPoint endpoint) : IConnectionListener
    {
        public Channel<ConnectionContext> Waiting { get; } = Channel.CreateBounded<ConnectionContext>(512);

        public EndPoint EndPoint => endpoint;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            try
            {
                return await Waiting.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (ChannelClosedException)
            {
                return null;
            }
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            Listeners.TryRemove(new(endpoint.Name, this));
            Waiting.Writer.TryComplete();
            return default;
        }

        public async ValueTask DisposeAsync()
        {
            await UnbindAsync().ConfigureAwait(false);
            while (Waiting.Reader.TryRead(out var unserved))
                await unserved.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The server's end.</summary>
    private sealed class Connection : DefaultConnectionContext, IDuplexPipe
    {
        // Not disposed: the client may close at any time, and it holds nothing but memory.
        private readonly CancellationTokenSource _closing = new();

        public Connection(PipeReader input, PipeWriter output, EndPoint endpoint) : base(Guid.NewGuid().ToString("N"))
        {
            (Input, Output, LocalEndPoint) = (new ServerInput(input, _closing.Token), output, endpoint);
            Transport = this;
            ConnectionClosed = _closing.Token;
        }

        public PipeReader Input { get; }

        public PipeWriter Output { get; }

        public override void Abort(ConnectionAbortedException abortReason)
        {
            Output.CancelPendingFlush();
            // Tells the request that is being served, and that no other will come; what the client had of the answer ends before its length.
            ThreadPool.UnsafeQueueUserWorkItem(static connection =>
            {
                connection._closing.Cancel();
                connection.Input.CancelPendingRead();
            }, this, preferLocal: false);
        }

        public override async ValueTask DisposeAsync()
        {
            await Input.CompleteAsync().ConfigureAwait(false);
            await Output.CompleteAsync().ConfigureAwait(false);
            await base.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>What the server reads: to its end once the connection is closed, from whichever side.</summary>
    private sealed class ServerInput(PipeReader pipe, CancellationToken closed) : PipeReader
    {
        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
        {
            var reading = pipe.ReadAsync(cancellationToken);
            return reading.IsCompletedSuccessfully ? new(Result(reading.Result)) : WaitAsync(reading);
        }

        public override bool TryRead(out ReadResult result)
        {
            var read = pipe.TryRead(out result);
            result = Result(result);
            return read;
        }

        public override void AdvanceTo(SequencePosition consumed) => pipe.AdvanceTo(consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => pipe.AdvanceTo(consumed, examined);

        public override void CancelPendingRead() => pipe.CancelPendingRead();

        public override void Complete(Exception? exception = null) => pipe.Complete(exception);

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
        private async ValueTask<ReadResult> WaitAsync(ValueTask<ReadResult> reading) => Result(await reading.ConfigureAwait(false));

        private ReadResult Result(ReadResult read) => closed.IsCancellationRequested ? new(read.Buffer, isCanceled: false, isCompleted: true) : read;
    }

    /// <summary>The client's end, as a stream.</summary>
    private sealed class ClientStream(PipeReader input, PipeWriter output, Connection server) : Stream
    {
        private int _closed;

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            try
            {
                var all = (await input.ReadAsync(cancellationToken).ConfigureAwait(false)).Buffer;
                // None into an empty buffer: that asks only whether there is something.
                var length = (int)Math.Min(all.Length, buffer.Length);
                all.Slice(0, length).CopyTo(buffer.Span);
                input.AdvanceTo(all.GetPosition(length));
                return length;
            }
            catch (InvalidOperationException e) when (Volatile.Read(ref _closed) != 0)
            {
                throw new IOException("The connection has been closed.", e);
            }
        }

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var flushed = await output.WriteAsync(buffer, cancellationToken).ConfigureAwait(false);
            if (flushed.IsCompleted)
                throw new IOException("The part of this process has closed the connection.");
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override void Flush() { }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing && Interlocked.Exchange(ref _closed, 1) == 0)
            {
                input.CancelPendingRead();
                output.Complete();
                input.Complete();
                server.Abort(new ConnectionAbortedException("The client has closed the connection."));
            }
            base.Dispose(disposing);
        }
    }
}
