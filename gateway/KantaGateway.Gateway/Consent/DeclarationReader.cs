using System.Globalization;
using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Protection;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Gateway.Consent;

/// <summary>What a Consent turned out to be.</summary>
/// <param name="Declaration">Null when it is none that the Act knows.</param>
/// <param name="Objection">Then why; where the law forbids just this scope, the reason names its section.</param>
public readonly record struct ReadDeclaration(Declaration? Declaration, DenyReason Objection);

/// <summary>Reads Consents of the shapes that <see cref="Declarations"/> lists, and no others.</summary>
public static class DeclarationReader
{
    /// <summary>Reads a Consent. One that is not exactly one of the known shapes is no declaration: writing it is refused, and one already stored counts as a denial of all.</summary>
    /// <param name="consent">The resource.</param>
    /// <param name="patient">Of one that is about to be written, the references by which it may name the Patient whose record it goes into; none: it is stored, where they were looked at.</param>
    /// <remarks>Consent.patient names the person herself: what names her in another way would bind, and never be found among hers.</remarks>
    public static ReadDeclaration Read(JsonElement consent, params ReadOnlySpan<string> patient)
    {
        if (Text(consent, "resourceType") != "Consent" || Text(consent, "status") is not ("active" or "inactive")
            || Text(consent, "dateTime") is not { } dateTime || !TimeRange.TryParse(dateTime, out var at) || consent.TryGetProperty("modifierExtension", out _)
            // A label could only keep it from somebody, and whom a Consent is shown to is the law's matter.
            || (TryGet(consent, "meta", out var labelled) && labelled.TryGetProperty("security", out _)))
            return new(null, DenyReason.UnknownDeclaration);
        var provision = consent.TryGetProperty("provision", out var p) ? p : (JsonElement?)null;
        if (provision is { ValueKind: not JsonValueKind.Object } || !TryReadPeriod(provision, out var from, out var until))
            return new(null, DenyReason.UnknownDeclaration);
        var read = (KindOf(consent), provision) switch
        {
            (Declarations.InformingKind, null) when InformingVersionOf(consent) is { } text => new Informing { At = default, TextVersion = text },
            (Declarations.AcknowledgementKind, null) when SourceOf(consent) is { } notice => new Acknowledgement { At = default, Notice = notice },
            (Declarations.AcknowledgementKind, { } what) when LetterOf(what) is { } letter => new Acknowledgement { At = default, Notice = letter },
            (AccessRestrictions.Code, { } deny) => Restriction(consent, deny),
            (Declarations.PermissionKind, { } permit) => Permission(permit),
            (Declarations.DenialKind, { } deny) => Denial(deny),
            (Declarations.ConfirmationKind, { } access) => Confirmation(consent, access),
            (Declarations.EmergencyKind, { } access) => Emergency(consent, access),
            (Declarations.ReviewKind, { } access) => Review(consent, access),
            _ => (object)DenyReason.UnknownDeclaration,
        };
        if (read is not Declaration declaration)
            return new(null, read is DenyReason reason ? reason : DenyReason.UnknownDeclaration);
        if (!Names(consent, patient))
            return new(null, DenyReason.PatientNotNamed);
        var speakers = Speakers.Of(consent);
        declaration = declaration with
        {
            Id = Text(consent, "id") ?? "",
            VersionId = consent.TryGetProperty("meta", out var meta) ? Text(meta, "versionId") ?? "" : "",
            StoredAt = StoredAt(consent),
            At = Start(at),
            IsOfDay = !dateTime.Contains('T', StringComparison.Ordinal),
            IsActive = Text(consent, "status") == "active",
            Withdraws = declaration is DisclosurePermit or DisclosureDenial && Text(consent, "status") == "inactive" ? SourceOf(consent) : null,
            From = from,
            Until = until,
            RecordedBy = OrganisationsOf(consent) is [var first, ..] ? first : null,
            IsSigned = IsSigned(consent, speakers),
        };
        return new(declaration with { ByCustodian = speakers.IsByRepresentative(declaration.MayOpen), IsSpeakerUnclear = speakers.IsUnclear(declaration) }, default);
    }

    private static bool Names(JsonElement consent, ReadOnlySpan<string> patient) =>
        TryGet(consent, "patient", out var its) && Text(its, "reference") is { } reference
        && (patient.IsEmpty ? reference.StartsWith("Patient/", StringComparison.Ordinal) && Guid.TryParseExact(reference["Patient/".Length..], "D", out _) : patient.Contains(reference));

    private static DateTimeOffset? StoredAt(JsonElement consent) => TryGet(consent, "meta", out var meta) && Text(meta, "versionId") is not null
        && Text(meta, "lastUpdated") is { } text && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, out var stored) ? stored.ToUniversalTime() : null;

    private static object Permission(JsonElement permit) =>
        Text(permit, "type") != "permit" ? DenyReason.UnknownDeclaration
        : HasOnly(permit, "type", "period") ? new DisclosurePermit { At = default }
        : DenyReason.PermissionIsForAll;

    private static object Denial(JsonElement deny)
    {
        if (Text(deny, "type") != "deny" || !HasOnly(deny, "type", "period", "data", "class", "provision") || ReadException(deny) is not { } allowsEmergency)
            return DenyReason.UnknownDeclaration;
        return TargetOf(deny) switch
        {
            DenialTarget target => new DisclosureDenial { At = default, Target = target, AllowsEmergency = allowsEmergency },
            var reason => reason,
        };
    }

    private static object Restriction(JsonElement consent, JsonElement deny)
    {
        if (Text(deny, "type") != "deny" || !HasOnly(deny, "type", "actor") || EntryOf(consent) is not { } entry)
            return DenyReason.UnknownDeclaration;
        var whose = new List<string>();
        foreach (var actor in Items(deny, "actor"))
            if (TryGet(actor, "reference", out var reference) && OidOf(reference, "Organization") is { } oid)
                whose.Add(oid);
            else
                return DenyReason.UnknownDeclaration;
        return whose is [var organisation, .. var units] && units.Count <= 1 ? new AccessRestriction { At = default, Organisation = organisation, Unit = units.FirstOrDefault(), Entry = entry } : DenyReason.UnknownDeclaration;
    }

    private static long? EntryOf(JsonElement consent)
    {
        foreach (var extension in Items(consent, "extension"))
            if (Text(extension, "url") == Declarations.EntryUrl)
                return long.TryParse(Text(extension, "valueString"), NumberStyles.None, CultureInfo.InvariantCulture, out var entry) ? entry : null;
        return null;
    }

    /// <summary>Whether the nested provision lets emergencies through; null when it is something else.</summary>
    private static bool? ReadException(JsonElement deny)
    {
        if (!deny.TryGetProperty("provision", out var nested))
            return false;
        return nested is { ValueKind: JsonValueKind.Array } && nested.GetArrayLength() == 1 && nested[0] is var one && Text(one, "type") == "permit"
            && HasOnly(one, "type", "purpose") && PurposeOf(one) == "ETREAT" ? true : null;
    }

    private static object TargetOf(JsonElement deny)
    {
        var isOccupational = deny.TryGetProperty("class", out _);
        if (!deny.TryGetProperty("data", out var data))
            return isOccupational ? DenyReason.UnknownDeclaration : new DenialTarget.All();
        if (data.ValueKind != JsonValueKind.Array || data.GetArrayLength() != (isOccupational ? 2 : 1))
            return DenyReason.UnknownDeclaration;
        var (meaning, reference) = DataOf(data[0]);
        if (isOccupational)
        {
            var (meaningOfEmployer, employer) = DataOf(data[1]);
            return IsOccupationalClass(deny) && meaning == "authoredby" && OidOf(reference, "Organization") is { } keeper
                && meaningOfEmployer == "related" && OidOf(employer, "Organization") is { } its
                ? new DenialTarget.OfRegister(keeper, Register.Occupational(its)) : DenyReason.UnknownDeclaration;
        }
        return meaning switch
        {
            "related" when OidOf(reference, "Encounter") is { } oid => new DenialTarget.OfServiceEvent(oid),
            "authoredby" when OidOf(reference, "Organization") is { } controller => new DenialTarget.OfRegister(controller, Register.Patient),
            "instance" when Text(reference, "reference") is { } target => target.StartsWith("MedicationRequest/", StringComparison.Ordinal)
                && Guid.TryParseExact(target["MedicationRequest/".Length..], "D", out var id)
                ? new DenialTarget.OfPrescription(id.ToString("D")) : DenyReason.DocumentIsNoScope,
            _ => DenyReason.UnknownDeclaration,
        };
    }

    private static bool IsOccupationalClass(JsonElement deny) =>
        deny.GetProperty("class") is { ValueKind: JsonValueKind.Array } classes && classes.GetArrayLength() == 1
        && Text(classes[0], "system") == Declarations.RegisterSystem && Text(classes[0], "code") == Declarations.OccupationalCode;

    private static object Confirmation(JsonElement consent, JsonElement access)
    {
        if (Text(access, "type") != "permit" || !HasOnly(access, "type", "period", "actor", "purpose", "securityLabel")
            || Who(consent, access) is not var (professional, organisation, unit) || PurposeOf(access) is not { } purpose)
            return DenyReason.UnknownDeclaration;
        var services = access.TryGetProperty("securityLabel", out _) ? ProtectedService.None : Declarations.EveryService;
        foreach (var label in Items(access, "securityLabel"))
            if (Text(label, "system") == Declarations.ServiceSystem && Text(label, "code") is { } code && Declarations.ServiceCodes.TryGetValue(code, out var service))
                services |= service;
            else
                return DenyReason.UnknownDeclaration;
        return services == ProtectedService.None ? DenyReason.UnknownDeclaration
            : new ProtectedConfirmation { At = default, Professional = professional, Organisation = organisation, Unit = unit, Purpose = purpose, Services = services };
    }

    private static object Emergency(JsonElement consent, JsonElement access)
    {
        if (Text(access, "type") != "permit" || !HasOnly(access, "type", "period", "actor", "purpose") || PurposeOf(access) != "ETREAT"
            || Who(consent, access) is not var (professional, organisation, unit) || ReasonOf(consent) is not var (reason, _))
            return DenyReason.UnknownDeclaration;
        return new EmergencyAccess { At = default, Professional = professional, Organisation = organisation, Unit = unit, Reason = reason };
    }

    private static object Review(JsonElement consent, JsonElement access)
    {
        if (Text(access, "type") is not ("permit" or "deny") || !HasOnly(access, "type", "actor") || Who(consent, access) is not var (professional, organisation, unit)
            || SourceOf(consent) is not { } emergency)
            return DenyReason.UnknownDeclaration;
        return new EmergencyReview
        {
            At = default,
            Professional = professional,
            Organisation = organisation,
            Unit = unit,
            Emergency = emergency,
            IsJustified = Text(access, "type") == "permit",
        };
    }

    /// <summary>The professional, the organisation and the unit of an access record.</summary>
    private static (string Professional, string Organisation, string? Unit)? Who(JsonElement consent, JsonElement access)
    {
        if (OrganisationsOf(consent) is not [var organisation, .. var rest] || rest.Count > 1
            || !access.TryGetProperty("actor", out var actors) || actors.ValueKind != JsonValueKind.Array || actors.GetArrayLength() != 1
            || !TryGet(actors[0], "reference", out var reference) || Text(reference, "type") != "Practitioner"
            || !TryGet(reference, "identifier", out var identifier) || Text(identifier, "value") is not { Length: > 0 } professional)
            return null;
        return (professional, organisation, rest.FirstOrDefault());
    }

    /// <summary>The Consent that a Consent names as its source: an emergency, what was read of, or what is withdrawn.</summary>
    private static string? SourceOf(JsonElement consent) =>
        TryGet(consent, "sourceReference", out var source) && Text(source, "reference") is { } reference && reference.StartsWith("Consent/", StringComparison.Ordinal)
        && Guid.TryParseExact(reference["Consent/".Length..], "D", out var id) ? id.ToString("D") : null;

    /// <summary>The Communication that was read, where nothing else is said of it.</summary>
    private static string? LetterOf(JsonElement provision) =>
        HasOnly(provision, "data") && Items(provision, "data").ToList() is [var data] && DataOf(data) is ("instance", var of) && Text(of, "reference") is { } reference
        && reference.StartsWith("Communication/", StringComparison.Ordinal) && Guid.TryParseExact(reference["Communication/".Length..], "D", out var id) ? id.ToString("D") : null;

    /// <summary>Why there was an emergency; null where it is not said, by code and in words.</summary>
    internal static (EmergencyReason Reason, string Text)? ReasonOf(JsonElement consent)
    {
        foreach (var extension in Items(consent, "extension"))
            if (Text(extension, "url") == Declarations.ReasonUrl && TryGet(extension, "valueCodeableConcept", out var concept)
                && Text(concept, "text") is { } text && !string.IsNullOrWhiteSpace(text))
                foreach (var coding in Items(concept, "coding"))
                    if (Text(coding, "system") == Declarations.ReasonSystem && Text(coding, "code") is { } code && Declarations.ReasonCodes.TryGetValue(code, out var reason))
                        return (reason, text);
        return null;
    }

    private static bool TryReadPeriod(JsonElement? provision, out DateTimeOffset? from, out DateTimeOffset? until)
    {
        (from, until) = (null, null);
        if (provision is not { } its || !its.TryGetProperty("period", out var period))
            return true;
        if (period.ValueKind != JsonValueKind.Object || !HasOnly(period, "start", "end"))
            return false;
        if (period.TryGetProperty("start", out _))
        {
            if (!TimeRange.TryParse(Text(period, "start"), out var start))
                return false;
            from = Start(start);
        }
        if (period.TryGetProperty("end", out _))
        {
            // "2026-11-25" lasts to the end of that Finnish day, a moment to that moment.
            if (Text(period, "end") is not { } text || !TimeRange.TryParse(text, out var end))
                return false;
            until = At(text.Contains('T', StringComparison.Ordinal) ? end.Start : end.End);
        }
        return true;
    }

    private static readonly string[] Forms = ["Binary/", "DocumentReference/", "QuestionnaireResponse/", "Contract/"];

    /// <summary>Whether a reference is to a form that is stored here; that it is there, and the desk's own, is looked at where references are.</summary>
    private static bool IsForm(string? reference) => reference is not null && Forms.Any(type => reference.StartsWith(type, StringComparison.Ordinal) && reference.Length > type.Length);

    /// <summary>Who is named as having signed: what they are (<see cref="TypeOf"/>), whether by a reference that is followed, whether they were asked and when, and whether they refused.</summary>
    private readonly record struct Signature(string Type, bool IsFollowed, bool IsAsked, bool IsRefused);

    /// <summary>Who a Consent says declared it, but those who work in care, and who signed it (R4 Consent.performer, Consent.verification, Reference.type).</summary>
    private sealed record Speakers(List<string> Performers, List<Signature> Signatures)
    {
        public static Speakers Of(JsonElement consent)
        {
            var signatures = new List<Signature>();
            foreach (var its in Items(consent, "verification"))
                if (TryGet(its, "verifiedWith", out var signer))
                    // A kind alone is not followed, nor somebody who is described in the Consent.
                    signatures.Add(new(TypeOf(consent, signer), Text(signer, "reference") is { } reference && !reference.StartsWith('#'),
                        IsVerified(its, JsonValueKind.True) && Text(its, "verificationDate") is not null, IsVerified(its, JsonValueKind.False)));
            return new([.. Items(consent, "performer").Select(by => TypeOf(consent, by)).Where(static type => !WorksInCare(type))], signatures);
        }

        /// <summary>Whether somebody declared it, or signed it, in the person's place.</summary>
        /// <remarks>
        /// A related person; and where it may open something each that is neither the person nor who works in care. What closes, and the person takes part in, is the person's own word, and so is
        /// that of somebody who is not named (law 3).
        /// </remarks>
        public bool IsByRepresentative(bool mayOpen) => mayOpen
            ? Performers.Exists(static type => type != Declarations.PersonType)
                || (Signatures.Exists(static its => its.Type != Declarations.PersonType) && !Signatures.Exists(static its => its.IsAsked && its.Type == Declarations.PersonType))
            : !Performers.Contains(Declarations.PersonType) && !Signatures.Exists(static its => its.Type == Declarations.PersonType && !its.IsRefused)
                && (Performers.Contains(Declarations.CustodianType) || Signatures.Exists(static its => its.IsAsked && its.Type == Declarations.CustodianType));

        /// <summary>Whether somebody is named as who declared or signed it of whom it does not say who that is.</summary>
        /// <remarks>A desk that takes a denial back, or in part, says whose word that is: it is the child's alone (§51).</remarks>
        public bool IsUnclear(Declaration declaration) => Performers.Exists(static type => !Speaks(type)) || Signatures.Exists(static its => !Speaks(its.Type))
            || (declaration is DisclosureDenial { MayOpen: true, RecordedBy: not null } && !Performers.Exists(Speaks) && !Signatures.Exists(static its => its.IsAsked && Speaks(its.Type)));

        /// <summary>Whether somebody signed it who may, and was asked on a day that is named.</summary>
        public bool AreSigning => Signatures.Exists(static its => its.IsAsked && its.IsFollowed && Speaks(its.Type));

        private static bool Speaks(string type) => type is Declarations.PersonType or Declarations.CustodianType;

        private static bool IsVerified(JsonElement verification, JsonValueKind value) => TryGet(verification, "verified", out var verified) && verified.ValueKind == value;
    }

    private static bool WorksInCare(string type) => type is "Practitioner" or "PractitionerRole" or "Organization";

    /// <summary>What somebody is that a Consent names: a Patient where it is, literally, the one whose it is; empty where it is another or does not say.</summary>
    private static string TypeOf(JsonElement consent, JsonElement by)
    {
        var reference = Text(by, "reference");
        if (reference is not null && reference == PatientOf(consent))
            return Declarations.PersonType;
        var type = reference is null ? Text(by, "type")
            : reference is ['#', .. var id] ? Items(consent, "contained").Where(its => Text(its, "id") == id).Select(static its => Text(its, "resourceType")).FirstOrDefault()
            // Of another server's address who works in care is known by what it says, and nobody else.
            : reference.Contains("://", StringComparison.Ordinal) ? new[] { Text(by, "type"), reference.Split('/')[^2] }.FirstOrDefault(static its => its is not null && WorksInCare(its))
            : reference.IndexOf('/', StringComparison.Ordinal) is var end and > 0 ? reference[..end] : null;
        return type is null or Declarations.PersonType ? "" : type;
    }

    private static string? PatientOf(JsonElement consent) => TryGet(consent, "patient", out var its) ? Text(its, "reference") : null;

    /// <summary>Whether a signed form stands behind it: the form itself, or that the person (or who represents them) was asked on a day that is named.</summary>
    private static bool IsSigned(JsonElement consent, Speakers speakers)
    {
        // A form that nobody can open is none: it says what it is written in (FHIR R4, att-1).
        if (TryGet(consent, "sourceAttachment", out var attachment)
            && ((Text(attachment, "data") is { Length: > 0 } && Text(attachment, "contentType") is { Length: > 0 }) || IsForm(Text(attachment, "url"))))
            return true;
        if (TryGet(consent, "sourceReference", out var source) && IsForm(Text(source, "reference")))
            return true;
        return speakers.AreSigning;
    }

    private static string? KindOf(JsonElement consent)
    {
        foreach (var category in Items(consent, "category"))
            foreach (var coding in Items(category, "coding"))
                if (Text(coding, "system") == Declarations.KindSystem)
                    return Text(coding, "code");
        return null;
    }

    private static string? InformingVersionOf(JsonElement consent)
    {
        foreach (var policy in Items(consent, "policy"))
            if (Text(policy, "uri") is { } uri && uri.StartsWith(Declarations.InformingUri, StringComparison.Ordinal))
                return uri[Declarations.InformingUri.Length..];
        return null;
    }

    private static string? PurposeOf(JsonElement provision) =>
        provision.TryGetProperty("purpose", out var purposes) && purposes.ValueKind == JsonValueKind.Array && purposes.GetArrayLength() == 1
        && Text(purposes[0], "system") == Declarations.ActReason ? Text(purposes[0], "code") : null;

    private static (string? Meaning, JsonElement Reference) DataOf(JsonElement data) =>
        (Text(data, "meaning"), TryGet(data, "reference", out var reference) ? reference : default);

    /// <summary>The OIDs of Consent.organization; empty where one of them has none.</summary>
    private static List<string> OrganisationsOf(JsonElement consent)
    {
        var oids = new List<string>();
        foreach (var organisation in Items(consent, "organization"))
            if (OidOf(organisation, "Organization") is { } oid)
                oids.Add(oid);
            else
                return [];
        return oids;
    }

    private static string? OidOf(JsonElement reference, string type) =>
        Text(reference, "type") == type && TryGet(reference, "identifier", out var identifier) && Oid.TryParse(Text(identifier, "value"), out var oid) ? oid.ToString() : null;

    private static bool HasOnly(JsonElement element, params ReadOnlySpan<string> names)
    {
        foreach (var property in element.EnumerateObject())
            if (!names.Contains(property.Name))
                return false;
        return true;
    }

    private static IEnumerable<JsonElement> Items(JsonElement element, string name) =>
        TryGet(element, name, out var array) && array.ValueKind == JsonValueKind.Array ? array.EnumerateArray() : [];

    private static string? Text(JsonElement element, string name) =>
        TryGet(element, name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static bool TryGet(JsonElement element, string name, out JsonElement value)
    {
        value = default;
        return element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out value);
    }

    private static DateTimeOffset Start(TimeRange range) => At(range.Start);

    private static DateTimeOffset At(long utcTicks) => new(Math.Clamp(utcTicks, 0, DateTime.MaxValue.Ticks), TimeSpan.Zero);
}
