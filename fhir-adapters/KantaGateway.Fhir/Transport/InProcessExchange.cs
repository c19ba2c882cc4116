using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace KantaGateway.Fhir.Transport;

/// <summary>One request to a part of this process and its answer: what the part sees as HTTP, and what the other gets of it.</summary>
/// <remarks>Bodies go through pipes, which hold back the faster side at 64 KiB.</remarks>
sealed partial class InProcessExchange : IHttpResponseFeature, IHttpResponseBodyFeature, IHttpRequestLifetimeFeature, IHttpMaxRequestBodySizeFeature, IHttpRequestBodyDetectionFeature
{
    private const int Open = 0, Over = 1, Broken = 2;

    private static readonly PipeOptions Elsewhere = new(readerScheduler: PipeScheduler.ThreadPool, writerScheduler: PipeScheduler.ThreadPool, useSynchronizationContext: false);

    private readonly HttpRequestMessage _request;
    private readonly Pipe? _sent;
    private readonly Pipe _answered = new(Elsewhere);
    private readonly TaskCompletionSource _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    // Not disposed: the other side may leave at any time, and it holds nothing but memory.
    private readonly CancellationTokenSource _left = new();
    private Stack<(Func<object, Task> Call, object State)>? _onStarting, _onCompleted;
    private Action? _whenAsked;
    private long _received, _written;
    private int _state;
    private volatile bool _isBroken;

    public InProcessExchange(HttpRequestMessage request, long? maxBody)
    {
        (_request, MaxRequestBodySize, RequestAborted) = (request, maxBody, _left.Token);
        Writer = new AnswerWriter(this);
        Body = Stream = Writer.AsStream(leaveOpen: true);
        var uri = request.RequestUri!;
        IHeaderDictionary headers = new HeaderDictionary();
        Copy(request.Headers, headers);
        headers.Host = request.Headers.Host ?? uri.Authority;
        var asked = new HttpRequestFeature
        {
            Protocol = "HTTP/1.1", Scheme = uri.Scheme, Method = request.Method.Method, Headers = headers,
            Path = Decode(uri.AbsolutePath), QueryString = uri.Query, RawTarget = uri.PathAndQuery,
        };
        if (request.Content is { } content)
        {
            Copy(content.Headers, headers);
            // Asked for, or it is not computed.
            if (content.Headers.ContentLength is { } length)
                headers.ContentLength = length;
            _sent = new(Elsewhere);
            asked.Body = new RequestBody(_sent.Reader, this);
        }
        Features.Set<IHttpRequestFeature>(asked);
        Features.Set<IHttpRequestBodyDetectionFeature>(this);
        Features.Set<IHttpMaxRequestBodySizeFeature>(this);
        Features.Set<IHttpRequestLifetimeFeature>(this);
        Features.Set<IHttpResponseFeature>(this);
        Features.Set<IHttpResponseBodyFeature>(this);
    }

    public IFeatureCollection Features { get; } = new FeatureCollection(10);

    /// <summary>Completes when the answer has begun; fails when there will be none.</summary>
    public Task Started => _started.Task;

    public bool CanHaveBody => _sent is not null;

    public bool IsReadOnly => _received > 0;

    public long? MaxRequestBodySize { get; set; }

    public CancellationToken RequestAborted { get; set; }

    public int StatusCode { get; set; } = StatusCodes.Status200OK;

    public string? ReasonPhrase { get; set; }

    public IHeaderDictionary Headers { get; set; } = new HeaderDictionary();

    public Stream Body { get; set; }

    public Stream Stream { get; }

    public PipeWriter Writer { get; }

    public bool HasStarted { get; private set; }

    private bool HasBody => _request.Method != HttpMethod.Head && StatusCode is >= 200 and not (StatusCodes.Status204NoContent or StatusCodes.Status304NotModified);

    /// <summary>Begins to send the request's body; what is at hand is sent before this returns. One that is to be asked for waits until then (RFC 9110 10.1.1).</summary>
    public void SendBody(CancellationToken cancel)
    {
        if (_request.Headers.ExpectContinue == true)
            _whenAsked = () => SendNow(cancel);
        else
            SendNow(cancel);
    }

    private void SendNow(CancellationToken cancel)
    {
        if (_sent is { Writer: var writer })
            _ = SendAsync();

        async Task SendAsync()
        {
            try
            {
                // What is sent after the part has answered goes nowhere.
                await _request.Content!.CopyToAsync(writer.AsStream(leaveOpen: true), cancel).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                var why = new HttpRequestException("The body could not be sent.", e);
                if (Interlocked.CompareExchange(ref _state, Broken, Open) != Over)
                    BreakOff(why);
            }
            await writer.CompleteAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The answer, once it has begun. Who disposes of it before its end breaks the exchange off.</summary>
    public HttpResponseMessage Answer()
    {
        var answer = new HttpResponseMessage((HttpStatusCode)StatusCode)
        {
            Version = HttpVersion.Version11, RequestMessage = _request, ReasonPhrase = ReasonPhrase,
            Content = new StreamContent(HasBody ? new AnswerBody(_answered.Reader, this) : Stream.Null),
        };
        foreach (var (name, values) in Headers)
            if (!answer.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values))
                answer.Content.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
        return answer;
    }

    /// <summary>The other side wants no more.</summary>
    /// <param name="why">What it is told where the answer has not begun.</param>
    public void Leave(Exception why)
    {
        // Whoever leaves may hold a lock; what the part does about it goes on elsewhere.
        if (Interlocked.CompareExchange(ref _state, Broken, Open) == Open)
            ThreadPool.UnsafeQueueUserWorkItem(static left => left.Exchange.BreakOff(left.Why), (Exchange: this, Why: why), preferLocal: false);
    }

    public void Abort()
    {
        if (Interlocked.CompareExchange(ref _state, Broken, Open) == Open)
            BreakOff(new HttpRequestException(HttpRequestError.ResponseEnded, "The part of this process broke off."));
    }

    // Each end of a pipe is completed by its own side alone: the other may be in the middle of its memory.
    private void BreakOff(Exception why)
    {
        _left.Cancel();
        _isBroken = true;
        if (_started.TrySetException(why))
            _answered.Reader.Complete();
        else
            _answered.Reader.CancelPendingRead();
        _answered.Writer.CancelPendingFlush();
        _sent?.Reader.CancelPendingRead();
    }

    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        if (HasStarted)
            return;
        while (_onStarting?.TryPop(out var next) == true)
            await next.Call(next.State).ConfigureAwait(false);
        HasStarted = true;
        if (!HasBody)
            await _answered.Reader.CompleteAsync().ConfigureAwait(false);
        _started.TrySetResult();
    }

    public async Task CompleteAsync()
    {
        await StartAsync().ConfigureAwait(false);
        if (HasBody && Headers.ContentLength is { } length && length != _written)
            Abort();
        End();
    }

    /// <summary>The part failed: 500, or an answer without its end where that is too late.</summary>
    public void Fail()
    {
        if (HasStarted)
            Abort();
        else
        {
            (StatusCode, Headers, HasStarted) = (StatusCodes.Status500InternalServerError, new HeaderDictionary(), true);
            _started.TrySetResult();
        }
        End();
    }

    private void End()
    {
        _answered.Writer.Complete(Interlocked.CompareExchange(ref _state, Over, Open) == Open ? null : Cut());
        _sent?.Reader.Complete();
    }

    private static IOException Cut() => new("The request was broken off.");

    public async Task RunCompletedAsync()
    {
        while (_onCompleted?.TryPop(out var next) == true)
            await next.Call(next.State).ConfigureAwait(false);
    }

    public void OnStarting(Func<object, Task> callback, object state) => (_onStarting ??= new()).Push((callback, state));

    public void OnCompleted(Func<object, Task> callback, object state) => (_onCompleted ??= new()).Push((callback, state));

    public void DisableBuffering() { }

    public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) =>
        SendFileFallback.SendFileAsync(Stream, path, offset, count, cancellationToken);

    private void Receive(int bytes)
    {
        _received += bytes;
        if (_received > MaxRequestBodySize || Features.GetRequiredFeature<IHttpRequestFeature>().Headers.ContentLength > MaxRequestBodySize)
            throw new BadHttpRequestException("The body of the request is too large.", StatusCodes.Status413PayloadTooLarge);
    }

    /// <summary>As a server has it: everything decoded but a slash, which would make two segments of one.</summary>
    private static string Decode(string path) => path.Contains('%', StringComparison.Ordinal)
        ? string.Concat(EscapedSlash().Split(path).Select(p => EscapedSlash().IsMatch(p) ? p : Uri.UnescapeDataString(p))) : path;

    [GeneratedRegex("(%2[Ff])")]
    private static partial Regex EscapedSlash();

    // NonValidated, for the ordinary enumeration parses every value.
    private static void Copy(System.Net.Http.Headers.HttpHeaders from, IHeaderDictionary to)
    {
        foreach (var (name, values) in from.NonValidated)
            to[name] = values.Count == 1 ? new StringValues(values.ToString()) : new StringValues([.. values]);
    }

    /// <summary>Begins the answer before the first of it can be read, and counts it.</summary>
    private sealed class AnswerWriter(InProcessExchange exchange) : PipeWriter
    {
        private PipeWriter Pipe => exchange._answered.Writer;

        public override bool CanGetUnflushedBytes => true;

        public override long UnflushedBytes => Pipe.UnflushedBytes;

        public override void Advance(int bytes)
        {
            exchange._written += bytes;
            Pipe.Advance(bytes);
        }

        public override Memory<byte> GetMemory(int sizeHint = 0) => Pipe.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => Pipe.GetSpan(sizeHint);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) =>
            exchange.HasStarted && !exchange._isBroken ? Pipe.FlushAsync(cancellationToken) : StartAsync(cancellationToken);

        private async ValueTask<FlushResult> StartAsync(CancellationToken cancellationToken)
        {
            await exchange.StartAsync(cancellationToken).ConfigureAwait(false);
            var flushed = await Pipe.FlushAsync(cancellationToken).ConfigureAwait(false);
            return new(flushed.IsCanceled && !exchange._isBroken, flushed.IsCompleted || exchange._isBroken);
        }

        public override void CancelPendingFlush() => Pipe.CancelPendingFlush();

        // The end is the exchange's to tell.
        public override void Complete(Exception? exception = null) { }
    }

    /// <summary>What the part reads of a request.</summary>
    private sealed class RequestBody(PipeReader pipe, InProcessExchange exchange) : PipeStream(pipe, exchange)
    {
        protected override void OnAsked() => Interlocked.Exchange(ref Exchange._whenAsked, null)?.Invoke();

        protected override void OnRead(int bytes) => Exchange.Receive(bytes);
    }

    /// <summary>What the other side reads of an answer.</summary>
    private sealed class AnswerBody(PipeReader pipe, InProcessExchange exchange) : PipeStream(pipe, exchange)
    {
        protected override void Dispose(bool disposing)
        {
            if (disposing)
                Exchange.Leave(new ObjectDisposedException(nameof(HttpResponseMessage)));
            base.Dispose(disposing);
        }
    }

    /// <summary>Reads one of the two pipes.</summary>
    private abstract class PipeStream(PipeReader pipe, InProcessExchange exchange) : Stream
    {
        private int _isDisposed;

        protected InProcessExchange Exchange => exchange;

        public override bool CanRead => true;

        public override bool CanWrite => false;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        protected virtual void OnAsked() { }

        protected virtual void OnRead(int bytes) { }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            OnAsked();
            try
            {
                var all = exchange._isBroken ? throw Cut() : (await pipe.ReadAsync(cancellationToken).ConfigureAwait(false)).Buffer;
                if (exchange._isBroken)
                    throw Cut();
                // None into an empty buffer: that asks only whether there is something.
                var length = (int)Math.Min(all.Length, buffer.Length);
                all.Slice(0, length).CopyTo(buffer.Span);
                pipe.AdvanceTo(all.GetPosition(length));
                OnRead(length);
                return length;
            }
            catch (InvalidOperationException e) when (Volatile.Read(ref _isDisposed) != 0)
            {
                throw new IOException("The stream has been closed.", e);
            }
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Flush() { }

        protected override void Dispose(bool disposing)
        {
            if (disposing && Interlocked.Exchange(ref _isDisposed, 1) == 0)
            {
                pipe.CancelPendingRead();
                pipe.Complete();
            }
            base.Dispose(disposing);
        }
    }
}
