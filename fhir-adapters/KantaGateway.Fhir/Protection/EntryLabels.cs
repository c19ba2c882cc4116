using System.Buffers;
using System.Buffers.Binary;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Fhir.Protection;

/// <summary>Whether a minor's custodians may be shown an entry (THL 1.2.246.537.5.40202).</summary>
public enum CustodianAccess : byte
{
    /// <summary>Nothing is said.</summary>
    Unstated = 0,

    /// <summary>1, a minor not able to decide, or 2, one who allows it.</summary>
    Shown = 1,

    /// <summary>3, a minor who denies it, 4, it is not known, and whatever else is written there.</summary>
    Hidden = 2,
}

/// <summary>
/// What a resource version says about who may be shown it, read once when it is written. Of a Provenance custodians and release are
/// those of what it is about.
/// </summary>
public sealed record EntryLabels
{
    /// <summary>A day of release that never comes.</summary>
    public const long Never = long.MaxValue;

    /// <summary>The specially protected services that it shows to be of.</summary>
    public ProtectedService Services { get; init; }

    public CustodianAccess Custodians { get; init; }

    /// <summary>
    /// First moment at which it may be shown to the person: a Finnish midnight in UTC ticks, so a full hour; <see cref="Never"/>: a day is
    /// given and cannot be read; null: none is given.
    /// </summary>
    public long? ReleasedAt { get; init; }

    /// <summary>It is marked as delayed: without a day of release it is not shown.</summary>
    public bool IsDelayed { get; init; }

    /// <inheritdoc cref="SignedForms.Says"/>
    public bool IsForm { get; init; }

    /// <inheritdoc cref="AccessRestrictions.Says"/>
    public bool Restricts { get; init; }

    /// <inheritdoc cref="RectificationRequests.Says"/>
    public bool IsRequest { get; init; }

    /// <summary>
    /// Sequences of resources, ascending, each once: of a Provenance, of those that it is about; of a Consent, of what it names as its source; of a document or a
    /// questionnaire's answers, of what is attached to them.
    /// </summary>
    public IReadOnlyList<int> About { get; init; } = [];

    /// <summary>Whether it says nothing.</summary>
    public bool IsNone => Services == 0 && Custodians == CustodianAccess.Unstated && ReleasedAt is null && !IsDelayed && !IsForm && !Restricts && !IsRequest;

    // Services (1), custodians (1), delayed, form, restriction and request (1), released at (8, 0: none), number of what it is about and each of them (7-bit groups).
    internal const int FixedSize = 11;

    private const int Delayed = 1, Form = 2, Restriction = 4, Request = 8;

    internal void Write(ArrayBufferWriter<byte> buffer)
    {
        var to = buffer.GetSpan(FixedSize);
        to[0] = (byte)Services;
        to[1] = (byte)Custodians;
        to[2] = (byte)((IsDelayed ? Delayed : 0) | (IsForm ? Form : 0) | (Restricts ? Restriction : 0) | (IsRequest ? Request : 0));
        BinaryPrimitives.WriteInt64LittleEndian(to[3..], ReleasedAt ?? 0);
        buffer.Advance(FixedSize);
        buffer.WriteLength(About.Count);
        foreach (var about in About)
            buffer.WriteLength(about);
    }

    internal static EntryLabels Read(ref ReadOnlySpan<byte> from)
    {
        var fixedPart = from[..FixedSize];
        from = from[FixedSize..];
        var about = new int[Search.SearchValues.ReadLength(ref from)];
        for (var i = 0; i < about.Length; i++)
            about[i] = Search.SearchValues.ReadLength(ref from);
        return new()
        {
            Services = (ProtectedService)fixedPart[0],
            Custodians = (CustodianAccess)fixedPart[1],
            IsDelayed = (fixedPart[2] & Delayed) != 0,
            IsForm = (fixedPart[2] & Form) != 0,
            Restricts = (fixedPart[2] & Restriction) != 0,
            IsRequest = (fixedPart[2] & Request) != 0,
            ReleasedAt = BinaryPrimitives.ReadInt64LittleEndian(fixedPart[3..]) is not 0 and var at ? at : null,
            About = about,
        };
    }
}
