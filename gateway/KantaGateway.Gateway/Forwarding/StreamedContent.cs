using KantaGateway.Gateway.Disclosure;

namespace KantaGateway.Gateway.Forwarding;

/// <summary>A content on its way through, which cannot be sent twice: whether any of it has gone, and whether all of it has come to lie in the repository.</summary>
/// <remarks>Put in the place of the request's body.</remarks>
public sealed class StreamedContent
{
    private readonly WatchedStream _body;
    private string? _arrived;

    public StreamedContent(HttpRequest request)
    {
        Request = request;
        request.Body = _body = new(request.Body);
    }

    /// <summary>The name under which the repository keeps it; null: it does not.</summary>
    public string? Arrived
    {
        get => _arrived;
        set
        {
            _arrived = value;
            // It is asked for by its name from now on.
            Request.Body = Stream.Null;
            RequestBody.Resize(Request, 0);
        }
    }

    /// <summary>Whether the request can be made again: nothing of it has been taken, or all of it is there.</summary>
    public bool CanBeSent => !_body.WasRead || Arrived is not null;

    private HttpRequest Request { get; }

    private sealed class WatchedStream(Stream inner) : Stream
    {
        public bool WasRead { get; private set; }

        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            WasRead = true;
            return inner.Read(buffer, offset, count);
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            WasRead = true;
            return inner.ReadAsync(buffer, cancellationToken);
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override void Flush() => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
