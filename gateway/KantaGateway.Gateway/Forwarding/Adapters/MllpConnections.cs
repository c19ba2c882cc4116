using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using KantaGateway.Fhir.Hl7v2;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>
/// HL7 v2 over MLLP, in TLS with a client certificate: one message after the other, each answered before the next is looked at, so that their order is kept. A message is
/// taken as one that came by HTTP is, but that the certificate alone says who sends it (<see cref="CertificateCallers"/>): before the first byte of a message is read, and of each message anew.
/// </summary>
sealed partial class MllpConnections(IServiceScopeFactory scopes, CertificateCallers callers, Hl7Messages messages, DisclosureAudit audit, IHttpContextAccessor outer, TimeProvider time, ILogger<MllpConnections> log) : ConnectionHandler
{
    /// <summary>Connections at once; beyond them one is hung up on.</summary>
    private const int MaxConnections = 500;

    /// <summary>For a message to come whole, and for the next to begin.</summary>
    private static readonly TimeSpan ForMessage = TimeSpan.FromSeconds(60), BetweenMessages = TimeSpan.FromMinutes(15);

    private int _open;

    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        if (Interlocked.Increment(ref _open) <= MaxConnections)
            try
            {
                await ServeAsync(connection);
            }
            catch (Exception gone) when (gone is IOException or OperationCanceledException)
            {
                // Nobody is left to answer; what was not acknowledged is sent again.
            }
            catch (Exception bug)
            {
                Unexpected(log, bug.GetType().Name, bug.StackTrace);
            }
        Interlocked.Decrement(ref _open);
    }

    private async Task ServeAsync(ConnectionContext connection)
    {
        var id = "mllp-" + Guid.NewGuid().ToString("N")[..27];
        // A message that has come whole is answered even where the gateway is about to stop; none after it is begun.
        var stops = connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? default;
        // The handshake has shown the certificate: of whoever may not send nothing is read.
        if (await RefusalAsync(connection, id) is { } refusal)
        {
            await SendAsync(connection, refusal);
            return;
        }
        while (!stops.IsCancellationRequested)
        {
            var (found, bytes) = await ReadAsync(connection.Transport.Input, stops, connection.ConnectionClosed);
            if (bytes is null && found == MllpFound.Incomplete)
                return;
            var (answer, goesOn) = bytes is not null ? await AnswerAsync(connection, id, bytes)
                : (Refusal(null, found == MllpFound.TooLong ? "The message is too long, or its frame has no end: 0x1C 0x0D." : "A message is framed: 0x0B, the message, 0x1C 0x0D."), false);
            await SendAsync(connection, answer);
            if (!goesOn)
                return;
        }
    }

    private static async ValueTask SendAsync(ConnectionContext connection, byte[] answer)
    {
        MllpFrames.Write(connection.Transport.Output, answer);
        await connection.Transport.Output.FlushAsync(connection.ConnectionClosed);
    }

    /// <returns>The content of a frame; without one, what stands in its place: <see cref="MllpFound.Incomplete"/> where the sender has ended.</returns>
    private async ValueTask<(MllpFound, byte[]?)> ReadAsync(PipeReader input, CancellationToken stops, CancellationToken closed)
    {
        using var patience = new CancellationTokenSource(BetweenMessages, time);
        using var ends = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, stops, closed);
        var searched = 0L;
        while (true)
        {
            var read = await input.ReadAsync(ends.Token);
            var buffer = read.Buffer;
            var found = MllpFrames.Take(ref buffer, searched, out var content);
            if (found != MllpFound.Incomplete)
            {
                var bytes = found == MllpFound.Message ? content.ToArray() : null;
                input.AdvanceTo(found == MllpFound.Message ? buffer.Start : buffer.End);
                return (found, bytes);
            }
            var isOver = read.IsCompleted || read.IsCanceled;
            if (searched == 0 && !buffer.IsEmpty)
                patience.CancelAfter(ForMessage);
            searched = buffer.Length;
            input.AdvanceTo(buffer.Start, buffer.End);
            if (isOver)
                return (MllpFound.Incomplete, null);
        }
    }

    /// <summary>What a caller is answered who may not send; null: it may.</summary>
    private async ValueTask<byte[]?> RefusalAsync(ConnectionContext connection, string id)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = ContextOf(connection, scope.ServiceProvider);
        var (_, fault) = await callers.IdentifyAsync(context, id);
        return fault is null ? null : Refusal(null, await RecordAsync(context, null, fault));
    }

    private async ValueTask<(byte[] Answer, bool GoesOn)> AnswerAsync(ConnectionContext connection, string id, byte[] bytes)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = ContextOf(connection, scope.ServiceProvider);
        // What is asked for inside is recorded with address and certificate of this.
        outer.HttpContext = context;
        var (batch, problem) = Hl7Batch.Read(bytes);
        var first = batch is { Messages: [var begins, ..] } ? Hl7Message.Read(begins) : null;

        // :: Step 1
        var (requester, fault) = await callers.IdentifyAsync(context, id);
        if (requester is not null && batch is null)
            fault = new(FaultKind.Invalid, problem!, "MSH");
        if (fault is null)
        {
            context.Features.Set<IRequesterFeature>(new RequesterFeature(requester!));
            var replies = await messages.AnswerAsync(context, requester!, batch!.Messages, reports: false);
            return (batch.IsBatch ? Hl7Acknowledgement.WriteBatch(batch, [.. replies.Select(static r => r.Bytes)], time.GetUtcNow()) : replies[0].Bytes, true);
        }
        return (Refusal(first, await RecordAsync(context, requester, fault)), requester is not null);
    }

    private static DefaultHttpContext ContextOf(ConnectionContext connection, IServiceProvider services)
    {
        var context = new DefaultHttpContext { RequestServices = services, RequestAborted = connection.ConnectionClosed };
        context.Request.Method = HttpMethods.Post;
        context.Request.Path = "/fhir/$hl7v2";
        context.Connection.RemoteIpAddress = (connection.RemoteEndPoint as IPEndPoint)?.Address;
        context.Connection.ClientCertificate = connection.Features.Get<ITlsConnectionFeature>()?.ClientCertificate;
        return context;
    }

    /// <summary>Records a refusal.</summary>
    /// <returns>What the sender is told.</returns>
    private async ValueTask<string> RecordAsync(HttpContext context, Requester? requester, Fault fault)
    {
        try
        {
            // As at HTTP: that there were too many was recorded when it began, and a flood must not fill the log.
            if (fault.Kind != FaultKind.TooMany)
                await audit.RefusalAsync(context, requester, null, fault, requester is null ? "not identified" : "malformed");
        }
        catch (FaultException unrecorded)
        {
            fault = unrecorded.Fault;
        }
        return fault.Issues[0].Diagnostics;
    }

    private byte[] Refusal(Hl7Message? message, string text) =>
        Hl7Acknowledgement.Write(message, Hl7Answer.AR, [new(new("MSH", 1), Hl7ErrorCode.Internal, text)], Guid.NewGuid().ToString("N")[..20], time.GetUtcNow());

    // Without the exception's message: it may quote what came in.
    [LoggerMessage(Level = LogLevel.Error, Message = "Unexpected {Type} on an MLLP connection\n{Stack}")]
    private static partial void Unexpected(ILogger log, string type, string? stack);
}
