using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography;
using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// Binaries as their own content (hl7.org/fhir/R4/binary.html): streamed in parts of <see cref="PartSize"/>, each sealed under the
/// compartment's data key, so that a content of any size takes the memory of two parts.
/// </summary>
/// <remarks>
/// A write: 1. may it be, before a byte is read; 2. the parts, each durable before the next is read; 3. the row with size and
/// digest, committed like any other and checked anew. Before 3 nothing shows: parts that no row has are swept. Since the row
/// knows the digest, a read names it in its manifest before the first byte.
/// </remarks>
sealed class Contents(OpenedCompartments compartments, ICompartmentStore store, IdentifierCipher identifiers, RowNames names, Changes changes, ArrivedContents arrived, RepositoryOptions options, TimeProvider time)
{
    /// <summary>Longest time that a content may take to arrive: what has lain longer than that without a row belongs to nobody.</summary>
    public static readonly TimeSpan LongestUpload = TimeSpan.FromHours(1);

    /// <summary>Bytes of a part before it is sealed; the last may be shorter.</summary>
    public const int PartSize = 256 << 10;

    /// <summary>Largest content that is also given as a FHIR resource, bytes; a larger one is read as what it is.</summary>
    public const int MaxAsResource = 4 << 20;

    /// <summary>Largest content of a content type, characters.</summary>
    private const int MaxMediaType = 200;

    /// <param name="id">Null: a new Binary.</param>
    /// <param name="body">The content.</param>
    /// <param name="securityContext">The resource that it belongs with; null only on an update, which keeps what was said.</param>
    public async Task<Answer> WriteAsync(RepositoryRequest request, string? id, string contentType, (string Type, string Id)? securityContext, Stream body,
        string? ifMatch, string? ifNoneMatch, ReturnPreference prefer, string correlationId, CancellationToken cancel)
    {
        // 1.
        request.Require(GrantUse.Write);
        if (contentType.Length > MaxMediaType || contentType.Any(c => c is < ' ' or > '~'))
            throw new FaultException(new Fault(FaultKind.UnsupportedMediaType, "The Content-Type of the content is not a media type.", "http.Content-Type"));
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, request.LeastDepth, cancel).ConfigureAwait(false);
        var view = await lease.RefreshAsync(cancel).ConfigureAwait(false);
        request.RequirePolicy(view);
        if (id is not null && (ifMatch is null || Find(view, request, "Binary", id) is not { Deleted: false }))
            throw new FaultException(ifMatch is null ? Fault.NoIfMatch : Fault.NoUpdateAsCreate);
        if (securityContext is { } context && !(context.Type == "Patient" && context.Id == identifiers.PatientId(request.Compartment))
            && Find(view, request, context.Type, context.Id) is not { Deleted: false })
            throw new FaultException(new Fault(FaultKind.Unprocessable, $"{RawContent.SecurityContextHeader} names no {context.Type} that this request may refer to.", $"http.{RawContent.SecurityContextHeader}"));
        // Whether others keep a record of the person may not be told: what counts is the Patient that this request may see.
        if (!lease.Exists || (securityContext is { Type: "Patient" } && Selection.Patient(view, request.Scope.OfAnyType) is not { Deleted: false }))
            throw new FaultException(new Fault(FaultKind.Unprocessable, $"{RawContent.SecurityContextHeader} names nobody that is registered here. Register the patient first.", $"http.{RawContent.SecurityContextHeader}"));

        var content = Guid.CreateVersion7(time.GetUtcNow());
        StoredContent stored;
        try
        {
            // 2.
            stored = await StorePartsAsync(lease, content, body, cancel).ConfigureAwait(false);
        }
        catch
        {
            await DropPartsAsync(request.Compartment, content).ConfigureAwait(false);
            throw;
        }
        // 3.
        return await StoreAsync(request, new(id, contentType, securityContext, stored, lease.Generation), lease, ifMatch, ifNoneMatch, prefer, correlationId, cancel).ConfigureAwait(false);
    }

    /// <summary>Stores a content that has arrived before: the policy had moved when it was all there, or the record been closed, and it has been decided on anew.</summary>
    /// <param name="name">As <see cref="AskAnewException.Arrived"/> gave it.</param>
    public Task<Answer> StoreArrivedAsync(RepositoryRequest request, string? id, string name,
        string? ifMatch, string? ifNoneMatch, ReturnPreference prefer, string correlationId, CancellationToken cancel)
    {
        request.Require(GrantUse.Write);
        return arrived.Take(name, request) is { } content && content.Id == id
            ? StoreAsync(request, content, null, ifMatch, ifNoneMatch, prefer, correlationId, cancel)
            : throw new FaultException(new Fault(FaultKind.Busy, "The person's policy changed while the content was sent. Nothing was stored; send it again."));
    }

    /// <param name="under">The record as it was open when the content began to arrive; null: not any more.</param>
    private async Task<Answer> StoreAsync(RepositoryRequest request, ArrivedContent content, CompartmentLease? under,
        string? ifMatch, string? ifNoneMatch, ReturnPreference prefer, string correlationId, CancellationToken cancel)
    {
        try
        {
            // It has been longer under way than a grant lives: another is asked for, and the content is there.
            if (request.Held.Grant.Expires <= time.GetUtcNow() || request.Directory?.Grant.Expires <= time.GetUtcNow())
                throw new AskAnewException(null);
            if (under is not null && await UnderNewKeyAsync(request, content, under, cancel).ConfigureAwait(false) is { } anew)
            {
                await DropPartsAsync(request.Compartment, content.Stored.Id).ConfigureAwait(false);
                content = anew;
            }
            return await changes.StoreContentAsync(request, content.Id, () => new Binary
            {
                Id = content.Id,
                ContentType = content.ContentType,
                SecurityContext = content.SecurityContext is { } about ? new($"{about.Type}/{about.Id}") : null,
            }, content.Stored, content.Generation, ifMatch, ifNoneMatch, prefer, correlationId, cancel).ConfigureAwait(false);
        }
        catch (AskAnewException again)
        {
            throw new AskAnewException(again.PolicyVersion) { Arrived = arrived.Hold(content, request) };
        }
        // Where the row may be there after all, the sweep finds out.
        catch (Exception e) when (e is not StoreException { MayHaveStored: true })
        {
            await DropPartsAsync(request.Compartment, content.Stored.Id).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Seals the parts of a content anew where the record was while they arrived; null: it was not.</summary>
    private async Task<ArrivedContent?> UnderNewKeyAsync(RepositoryRequest request, ArrivedContent content, CompartmentLease under, CancellationToken cancel)
    {
        try
        {
            await under.RefreshAsync(cancel).ConfigureAwait(false);
            return null;
        }
        catch (AskAnewException)
        {
            using var now = await compartments.OpenAsync(request.Compartment, request.Held.Token, IndexDepth.Headers, cancel).ConfigureAwait(false);
            await now.RefreshAsync(cancel).ConfigureAwait(false);
            using var from = under.Cipher();
            using var to = now.Cipher();
            var copy = Guid.CreateVersion7(time.GetUtcNow());
            await PartSealing.CopyAsync(store, request.Compartment, from, to, content.Stored, copy, cancel).ConfigureAwait(false);
            return content with { Stored = content.Stored with { Id = copy }, Generation = now.Generation };
        }
    }

    /// <summary>A Binary's content, streamed.</summary>
    /// <param name="versionId">Null: the newest version.</param>
    /// <param name="accept">Media ranges.</param>
    public async Task<Answer> ReadAsync(RepositoryRequest request, string id, string? versionId, string accept, CancellationToken cancel)
    {
        CompartmentLease? lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, request.LeastDepth, cancel).ConfigureAwait(false);
        try
        {
            var view = await lease.RefreshAsync(cancel).ConfigureAwait(false);
            request.RequirePolicy(view);
            var (row, body) = await RowAsync(lease, view, request, id, versionId, cancel).ConfigureAwait(false);
            using var resource = JsonDocument.Parse(body);
            var contentType = resource.RootElement.TryGetProperty("contentType", out var named) ? named.GetString()! : "application/octet-stream";
            if (!RawContent.Accepts(accept, contentType))
                throw new FaultException(new Fault(FaultKind.NotAcceptable, $"The content is {contentType}: accept that or */*, or {MediaTypes.Json} for the resource.", "http.Accept"));
            var item = names.ItemOf(view.Compartment, row);
            var answer = new Answer(200, default, [item])
            {
                ContentType = contentType,
                ETag = Answer.StrongETagOf(item.VersionId),
                LastModified = row.LastUpdated,
                SecurityContext = resource.RootElement.TryGetProperty("securityContext", out var context) && context.TryGetProperty("reference", out var literal) ? literal.GetString() : null,
            };
            if (row.Content is { } content)
            {
                var streamed = answer with { Content = new SealedContent(lease, store, content) };
                lease = null;
                return streamed;
            }
            return answer with { Body = resource.RootElement.TryGetProperty("data", out var data) ? data.GetBytesFromBase64() : default };
        }
        finally
        {
            lease?.Dispose();
        }
    }

    /// <summary>A Binary as a FHIR resource; one whose content lies apart gets it as <c>data</c>.</summary>
    public async Task<Answer> ReadAsResourceAsync(RepositoryRequest request, Answer read, CancellationToken cancel)
    {
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, request.LeastDepth, cancel).ConfigureAwait(false);
        // The very version that was read, by its id: rows never change.
        var version = read.Items[0].VersionId;
        if (!identifiers.TryReadVersionId(version, out _, out var sequence))
            return read;
        var view = lease.View.Head < sequence ? await lease.RefreshAsync(cancel).ConfigureAwait(false) : lease.View;
        if (view.Row(sequence)?.Content is not { } content)
            return read;
        if (content.Size > MaxAsResource)
            throw new FaultException(new Fault(FaultKind.NotAcceptable,
                $"A content of more than {MaxAsResource >> 20} MB is not given as a FHIR resource. Read it as it is: GET Binary/[id] with Accept: */*.", "http.Accept"));
        var bytes = new MemoryStream((int)content.Size);
        await new SealedContent(lease, store, content).CopyToAsync(PipeWriter.Create(bytes, new(leaveOpen: true)), null, cancel).ConfigureAwait(false);
        var buffer = new ArrayBufferWriter<byte>((int)content.Size * 4 / 3 + read.Body.Length + 64);
        using (var json = new Utf8JsonWriter(buffer, new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        using (var resource = JsonDocument.Parse(read.Body))
        {
            json.WriteStartObject();
            foreach (var property in resource.RootElement.EnumerateObject())
                property.WriteTo(json);
            json.WriteBase64String("data"u8, bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
            json.WriteEndObject();
        }
        return read with { Body = buffer.WrittenMemory };
    }

    private async Task<(CompartmentRow Row, ReadOnlyMemory<byte> Body)> RowAsync(CompartmentLease lease, CompartmentView view, RepositoryRequest request,
        string id, string? versionId, CancellationToken cancel)
    {
        var row = versionId is null ? Find(view, request, "Binary", id)
            : identifiers.TryReadResourceId(id, out var compartment, out var resource) && compartment == request.Compartment
                && identifiers.TryReadVersionId(versionId, out var of, out var sequence) && of == request.Compartment
                ? Selection.Version(view, request.Scope, "Binary", resource, sequence) : null;
        if (row is null || !view.Admits(row, request.Scope))
            throw new FaultException(Fault.Absent);
        if (row.Deleted)
            throw new FaultException(new Fault(FaultKind.Deleted, "The resource has been deleted; its earlier versions remain in its history."));
        return (row, (await lease.ReadAsync([row], request.Scope, cancel).ConfigureAwait(false))[0]);
    }

    private CompartmentRow? Find(CompartmentView view, RepositoryRequest request, string type, string id) =>
        identifiers.TryReadResourceId(id, out var compartment, out var resource) && compartment == request.Compartment
            ? Selection.Current(view, request.Scope.OfAnyType, type, resource) : null;

    private async System.Threading.Tasks.Task DropPartsAsync(Pseudonym compartment, Guid content)
    {
        try
        {
            await store.DropPartsAsync(compartment, content, CancellationToken.None).ConfigureAwait(false);
        }
        catch (StoreException)
        {
            // They take room and nothing else; the sweep takes them.
        }
    }

    /// <exception cref="FaultException">It is too large, or takes too long.</exception>
    private async Task<StoredContent> StorePartsAsync(CompartmentLease lease, Guid id, Stream body, CancellationToken cancel)
    {
        using var late = new CancellationTokenSource(LongestUpload, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancel);
        try
        {
            return await StorePartsInTimeAsync(lease, id, body, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !cancel.IsCancellationRequested)
        {
            throw new FaultException(new Fault(FaultKind.TooLarge, $"The content has not arrived within {LongestUpload.TotalMinutes} minutes. Nothing is stored; send it over a faster line."));
        }
    }

    private async Task<StoredContent> StorePartsInTimeAsync(CompartmentLease lease, Guid id, Stream body, CancellationToken cancel)
    {
        var part = ArrayPool<byte>.Shared.Rent(PartSize);
        var next = ArrayPool<byte>.Shared.Rent(PartSize);
        var sealedPart = ArrayPool<byte>.Shared.Rent(PartSize + RowSeal.Overhead);
        try
        {
            using var cipher = lease.Cipher();
            using var digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var size = 0L;
            var length = await body.ReadAtLeastAsync(part.AsMemory(0, PartSize), PartSize, false, cancel).ConfigureAwait(false);
            for (var number = 0; ; number++)
            {
                size += length;
                if (size > options.MaxBinary)
                    throw new FaultException(new Fault(FaultKind.TooLarge, $"The content is larger than {options.MaxBinary >> 20} MB, the most that is kept of one Binary."));
                // Whether it is the last shows only when there is nothing after it.
                var following = length < PartSize ? 0 : await body.ReadAtLeastAsync(next.AsMemory(0, PartSize), PartSize, false, cancel).ConfigureAwait(false);
                digest.AppendData(part, 0, length);
                var sealedLength = RowSeal.SealPart(cipher, lease.View.Compartment, id, number, following == 0, part.AsSpan(0, length), sealedPart);
                await store.StorePartAsync(lease.View.Compartment, id, number, sealedPart.AsMemory(0, sealedLength), cancel).ConfigureAwait(false);
                if (following == 0)
                    return new(id, size, digest.GetHashAndReset());
                (part, next, length) = (next, part, following);
            }
        }
        finally
        {
            // What was somebody's is not left for the next.
            ArrayPool<byte>.Shared.Return(part, clearArray: true);
            ArrayPool<byte>.Shared.Return(next, clearArray: true);
            ArrayPool<byte>.Shared.Return(sealedPart);
        }
    }
}

/// <summary>A content on its way out, part by part. Holds its compartment open until it is disposed.</summary>
sealed class SealedContent(CompartmentLease lease, ICompartmentStore store, StoredContent content) : IDisposable
{
    public StoredContent Stored => content;

    /// <summary>Opens the parts that have something of the range, and no others.</summary>
    /// <param name="range">Null: all of it.</param>
    /// <exception cref="TamperedException">A part is missing, or is not what was stored.</exception>
    public async System.Threading.Tasks.Task CopyToAsync(PipeWriter to, ByteRange? range, CancellationToken cancel)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(Contents.PartSize + RowSeal.Overhead);
        try
        {
            using var cipher = lease.Cipher();
            var (first, end) = range is { } asked ? (asked.First, asked.Last + 1) : (0, content.Size);
            var number = (int)(first / Contents.PartSize);
            var at = (long)number * Contents.PartSize;
            do
            {
                var length = await store.ReadPartAsync(lease.View.Compartment, content.Id, number, buffer, cancel).ConfigureAwait(false);
                if (length < 0)
                    throw new TamperedException("A part of a content is missing.");
                var part = to.GetMemory(Contents.PartSize);
                var plain = RowSeal.OpenPart(cipher, lease.View.Compartment, content.Id, number, content.Size - at <= Contents.PartSize, buffer.AsSpan(0, length), part.Span);
                if (plain != Math.Min(Contents.PartSize, content.Size - at))
                    throw new TamperedException("A content has another size than was stored.");
                var (from, until) = ((int)Math.Max(first - at, 0), (int)Math.Min(end - at, plain));
                if (from > 0)
                    part.Span[from..until].CopyTo(part.Span);
                to.Advance(until - from);
                await to.FlushAsync(cancel).ConfigureAwait(false);
                at += plain;
                number++;
            }
            while (at < end);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public void Dispose() => lease.Dispose();
}
