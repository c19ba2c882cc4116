using System.Buffers.Text;
using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>Whom or what can be contained. A client operators suspend; it is the machine that contains one.</summary>
internal enum ContainedKind { Organisation, Certificate, Professional, Citizen, Client }

/// <summary>
/// Who or what is let in nowhere until two operators end it: an organisation with all its systems and people, one TLS client certificate, a professional, a citizen, a client.
/// </summary>
/// <remarks>
/// As text: <c>organisation/[OID]</c>; <c>certificate/[SHA-256]</c>, read in hexadecimal, with colons or without, or in base64url; <c>professional/[number in the role register]</c>,
/// or where there is none <c>professional/[OID of the organisation]/[number there]</c>; <c>citizen/Patient/[id]</c>; <c>client/[client_id]</c>. One thing has one text.
/// </remarks>
internal readonly record struct ContainedSubject
{
    private const string OfCitizen = "Patient/";

    private ContainedSubject(ContainedKind kind, string value) => Text = $"{NameOf(kind)}/{value}";

    /// <summary>As it is kept and shown.</summary>
    public string Text { get; }

    /// <param name="oid">Dotted.</param>
    public static ContainedSubject Organisation(string oid) => new(ContainedKind.Organisation, oid);

    /// <summary>What an organisation is contained by: itself, and where it is a unit (<see cref="SoteOid"/>: <c>[organisation].10.[unit]</c>) the organisation that it is one of.</summary>
    public static IEnumerable<ContainedSubject> OrganisationsOf(Oid organisation)
    {
        var text = organisation.ToString();
        yield return Organisation(text);
        if (text.Split('.') is [.. { Length: > 4 } above, "10", _])
            yield return Organisation(string.Join('.', above));
    }

    /// <param name="thumbprint">SHA-256 of the DER, base64url.</param>
    public static ContainedSubject Certificate(string thumbprint) => new(ContainedKind.Certificate, thumbprint);

    /// <inheritdoc cref="DecisionState.SubjectOf"/>
    public static ContainedSubject Professional(bool isNational, string organisation, string professional) => new(ContainedKind.Professional, DecisionState.SubjectOf(isNational, organisation, professional));

    /// <param name="patientId">Logical id of the person's Patient.</param>
    public static ContainedSubject Citizen(string patientId) => new(ContainedKind.Citizen, OfCitizen + patientId);

    /// <param name="clientId">As registered.</param>
    public static ContainedSubject Client(string clientId) => new(ContainedKind.Client, clientId);

    /// <param name="isNational">Whether professionals go by the role register's numbers.</param>
    public static bool TryParse(string? text, bool isNational, [NotNullWhen(true)] out ContainedSubject subject)
    {
        subject = default;
        if (text?.Split('/', 2) is not [var kind, { Length: > 0 } value] || value.Any(static c => char.IsWhiteSpace(c) || char.IsControl(c)))
            return false;
        ContainedSubject? read = kind switch
        {
            "organisation" when Oid.TryParse(value, out var oid) => Organisation(oid.ToString()),
            "certificate" when ThumbprintIn(value) is { } thumbprint => Certificate(thumbprint),
            "professional" when isNational => value.Contains('/') ? null : Professional(true, "", value),
            "professional" when value.Split('/', 2) is [var at, { Length: > 0 } number] && Oid.TryParse(at, out var organisation) => Professional(false, organisation.ToString(), number),
            "citizen" when value.StartsWith(OfCitizen, StringComparison.Ordinal) && Guid.TryParseExact(value.AsSpan(OfCitizen.Length), "D", out var id) => Citizen(id.ToString("D")),
            "client" => Client(value),
            _ => null,
        };
        subject = read ?? default;
        return read is not null;
    }

    public override string ToString() => Text;

    private static string NameOf(ContainedKind kind) => kind switch
    {
        ContainedKind.Organisation => "organisation",
        ContainedKind.Certificate => "certificate",
        ContainedKind.Professional => "professional",
        ContainedKind.Client => "client",
        _ => "citizen",
    };

    /// <returns>SHA-256 of a certificate, base64url; null where it is none.</returns>
    public static string? ThumbprintIn(string text)
    {
        var hex = text.Replace(":", "", StringComparison.Ordinal);
        if (hex.Length == 64 && hex.All(char.IsAsciiHexDigit))
            return Base64Url.EncodeToString(Convert.FromHexString(hex));
        return text.Length == 43 && Base64Url.IsValid(text) ? text : null;
    }
}

/// <summary>That somebody or something is contained.</summary>
/// <param name="Reason">In the words of who did it.</param>
/// <param name="At">When it was contained, or contained anew by somebody else than before: an end that was proposed before is void.</param>
internal sealed record Containment(string Subject, string Reason, DateTimeOffset At, Decider By)
{
    /// <summary>Number of the breach case for which the machine did it; null: an operator did, or the case could not be opened.</summary>
    public long? Case { get; init; }

    /// <summary>Who contained it before, while it was.</summary>
    public ImmutableList<Decider> Before { get; init; } = [];

    /// <summary>
    /// What it comes to when it is contained once more. By the same person it stays as it is, or one person could put off every end by containing anew; the machine does it
    /// for another case only, and that is news.
    /// </summary>
    public Containment Again(Containment other) => other.By.IsMachine ? (By.IsMachine && Case == other.Case ? this : With(other))
        : other.By.Is(By) || Before.Any(other.By.Is) ? this : With(other);

    private Containment With(Containment other) => other with { Case = other.Case ?? Case, Before = Before.Add(By) };
}

/// <summary>Asks what is contained, as this gateway knows it: within half a second of the decision; of a certificate at once. Thread-safe.</summary>
/// <param name="approvals">Null: there are no operators, and nothing is contained.</param>
/// <param name="isNational">Whether professionals go by the role register's numbers.</param>
/// <param name="revocations">By which it is told at once.</param>
internal sealed class Containments(bool isNational, Approvals? approvals, Revocations? revocations = null)
{
    /// <summary>Whether professionals go by the role register's numbers.</summary>
    public bool IsNational => isNational;

    /// <param name="thumbprint">SHA-256 of the DER, base64url.</param>
    /// <param name="name">By which it is revoked.</param>
    public bool HoldsCertificate(string thumbprint, RevokedName name) => revocations?.IsKnownRevoked(name) is true
        || (approvals?.Current.Contained is { Count: > 0 } all && all.ContainsKey(ContainedSubject.Certificate(thumbprint).Text));

    /// <param name="thumbprint">SHA-256 of the DER, base64url.</param>
    public bool HoldsCertificate(string thumbprint) => HoldsCertificate(thumbprint, RevokedName.Contained(ContainedSubject.Certificate(thumbprint)));

    /// <param name="organisation">For which the professional acts, OID, dotted.</param>
    public bool HoldsProfessional(string organisation, string professional) =>
        approvals?.Current.Contained is { Count: > 0 } all && all.ContainsKey(ContainedSubject.Professional(isNational, organisation, professional).Text);

    /// <exception cref="SharedStateException">What operators have decided has been unknown for too long.</exception>
    public bool HoldsCitizen(Pseudonym self, IdentifierCipher ids)
    {
        if (approvals?.Current.Contained is { Count: > 0 } all && all.ContainsKey(ContainedSubject.Citizen(ids.PatientId(self)).Text))
            return true;
        // Of clients the registry sees to it.
        return approvals is not { IsCurrent: false } ? false : throw new SharedStateException("Who is contained is not known at the moment.");
    }
}
