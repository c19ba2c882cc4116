using System.Globalization;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Repository.Interactions;

/// <summary>A complete answer: nothing that can fail is left to do when its first byte is sent.</summary>
sealed record Answer(int Status, ReadOnlyMemory<byte> Body, IReadOnlyList<ManifestItem> Items)
{
    /// <summary>Bytes of resources on one page of a search or history; a page holds at least one, however large.</summary>
    public const int MaxPage = 8 << 20;

    /// <summary>Of a body that is no FHIR resource and leaves as it is; null for a resource, which takes the form that was asked for.</summary>
    public string? ContentType { get; init; }

    /// <summary>A body that is streamed in the place of <see cref="Body"/>. Whoever writes the answer disposes of it.</summary>
    public SealedContent? Content { get; init; }

    /// <summary>Which of the octets are given; null: all. The manifest stays that of the whole.</summary>
    public ByteRange? Part { get; init; }

    /// <summary>Octets of the whole content where a part was asked for that is not there; null otherwise.</summary>
    public long? Unsatisfied { get; init; }

    /// <summary>Of a Binary's content: what it belongs with.</summary>
    public string? SecurityContext { get; init; }

    /// <summary>Of a write: where it has left the compartments that it wrote to.</summary>
    public IReadOnlyList<WrittenHead> Heads { get; init; } = [];

    public string? ETag { get; init; }
    public DateTimeOffset? LastModified { get; init; }
    public string? Location { get; init; }

    /// <summary>
    /// How many profiles a write claims that are not known and were not enforced; what they are stands in the outcome of
    /// <c>Prefer: return=OperationOutcome</c> and of <c>$validate</c>.
    /// </summary>
    public int Warnings { get; init; }

    /// <summary>Whether it carries a manifest: every answer of the FHIR API does, an empty one too.</summary>
    public bool HasManifest { get; init; } = true;

    /// <summary>
    /// The answer to who may have this version already (conditional read, hl7.org/fhir/R4/http.html#cread, RFC 9110 13): then
    /// 304 without a body. It tells that the version is still the newest, so the manifest names it all the same.
    /// </summary>
    /// <param name="ifNoneMatch">ETags, or <c>*</c>; it decides alone where both are given.</param>
    public Answer Unless(string? ifNoneMatch, DateTimeOffset? ifModifiedSince)
    {
        var isKnown = ifNoneMatch is null ? ifModifiedSince is { } since && IsKnownSince(since)
            : ifNoneMatch.Trim() == "*" || ifNoneMatch.Split(',').Any(t => Opaque(t) == Opaque(ETag ?? ""));
        if (!isKnown)
            return this;
        Content?.Dispose();
        return this with { Status = StatusCodes.Status304NotModified, Body = ReadOnlyMemory<byte>.Empty, Content = null };

        static string Opaque(string tag) => tag.Trim() is ['W', '/', .. var strong] ? strong : tag.Trim();
    }

    /// <summary>The answer to who asks for a part of a content (RFC 9110 14.2): 206 with it, or 416 where there is none of it.</summary>
    /// <param name="range">Null: all is asked for.</param>
    /// <param name="ifRange">An ETag: the part only if the content is still that one, else all of it. A time never proves it, for two versions may come in one second (8.8.2.2).</param>
    /// <param name="outcome">Makes the body of a refusal.</param>
    public Answer Within(string? range, string? ifRange, Func<Fault, byte[]> outcome)
    {
        if (Status != StatusCodes.Status200OK || ContentType is null || (ifRange is not null && ifRange != ETag))
            return this;
        var size = Content?.Stored.Size ?? Body.Length;
        var (part, isUnsatisfiable) = ByteRange.Read(range, size);
        if (part is not null)
            return this with { Status = StatusCodes.Status206PartialContent, Part = part };
        if (!isUnsatisfiable)
            return this;
        Content?.Dispose();
        // How long the content is tells of it: the manifest names it all the same.
        var fault = new Fault(FaultKind.RangeNotSatisfiable, $"The content has {size} octets, and the range begins behind them. Ask for a part of it, or leave Range out.", "http.Range");
        return new Answer(FaultTable.Of(fault.Kind).Status, outcome(fault), Items) { Unsatisfied = size };
    }

    private bool IsKnownSince(DateTimeOffset since)
    {
        if (LastModified is not { } modified)
            return false;
        modified = DateTimeOffset.FromUnixTimeSeconds(modified.ToUnixTimeSeconds()); // the header has whole seconds
        // Which controller's record of a person is shown can change to an older one, so there only the same time will do.
        return Items is [{ Type: "Patient" }, ..] ? modified == since : modified <= since;
    }

    public async Task WriteAsync(HttpContext context)
    {
        var response = context.Response;
        response.StatusCode = Status;
        var headers = response.Headers;
        if (ETag is not null)
            headers.ETag = ETag;
        if (LastModified is { } modified)
            headers.LastModified = modified.ToString("R");
        if (Location is not null)
            headers.Location = Location;
        if (Warnings > 0)
            headers[UnenforcedProfiles.Header] = Warnings.ToString(CultureInfo.InvariantCulture);
        if (ContentType is not null && HasManifest)
        {
            // Whatever somebody has archived is to be saved or shown, never to be run from this address.
            headers.XContentTypeOptions = "nosniff";
            headers.ContentSecurityPolicy = "sandbox; default-src 'none'";
            headers.AcceptRanges = "bytes";
            if (SecurityContext is not null)
                headers[RawContent.SecurityContextHeader] = SecurityContext;
        }
        if (Unsatisfied is { } whole)
            headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes */{whole}");
        if (Part is { } part)
            headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes {part.First}-{part.Last}/{Content?.Stored.Size ?? Body.Length}");
        if (Content is { } content)
        {
            headers[InternalHeaders.Manifest] = new DisclosureManifest(Items, content.Stored.Digest).Encode();
            response.ContentType = ContentType;
            response.ContentLength = Part?.Length ?? content.Stored.Size;
            await content.CopyToAsync(response.BodyWriter, Part, context.RequestAborted).ConfigureAwait(false);
            return;
        }
        // The one place where an answer takes another form than the stored one: the digest is of the bytes that leave.
        var presentation = Presentation.Decode(context.Request.Headers[InternalHeaders.Presentation]);
        var body = ContentType is null ? presentation.Apply(Body) : Body;
        if (HasManifest)
            headers[InternalHeaders.Manifest] = (DisclosureManifest.Of(Items, body.Span) with { Heads = Heads }).Encode();
        if (Part is { } slice)
            body = body.Slice((int)slice.First, (int)slice.Length);
        if (body.IsEmpty)
            return;
        response.ContentType = ContentType ?? presentation.ContentType;
        response.ContentLength = body.Length;
        await response.BodyWriter.WriteAsync(body, context.RequestAborted).ConfigureAwait(false);
    }

    public static string ETagOf(string versionId) => $"W/\"{versionId}\"";

    /// <summary>Of octets, which are the same for ever under a version; a resource takes several forms.</summary>
    public static string StrongETagOf(string versionId) => $"\"{versionId}\"";
}
