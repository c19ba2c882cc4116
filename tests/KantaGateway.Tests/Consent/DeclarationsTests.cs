using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Consent;

/// <summary>The FHIR form of declarations, from the vector file: what is written is exactly that and read back, and nothing else is a declaration.</summary>
public class DeclarationsTests
{
    private const string PatientId = "0b0a55d2-799a-45f5-a161-6a4a5faad1f8";
    private static readonly DateTimeOffset Now = ConsentWorld.Now;

    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "declarations.json"))).RootElement;

    private static readonly Dictionary<string, Declaration> Expected = Written().ToDictionary(w => w.Name, w => w.Declaration);

    public static TheoryData<string> Names => [.. Vectors.GetProperty("cases").EnumerateArray().Select(c => c.GetProperty("name").GetString()!)];

    public static TheoryData<string> Spoilings => [.. Vectors.GetProperty("spoilings").EnumerateArray().Select(c => c.GetProperty("is").GetString()!)];

    [Theory, MemberData(nameof(Names))]
    public void What_is_written_is_valid_FHIR_of_the_shape_that_is_documented(string name)
    {
        var written = Written().Single(w => w.Name == name).Consent;
        var (resource, fault) = ResourceParser.Parse(written);
        Assert.True(resource is not null, fault?.ToString());
        Assert.Equal(CaseOf(name).ToJsonString(), Sorted(JsonNode.Parse(written))!.ToJsonString());
    }

    [Theory, MemberData(nameof(Names))]
    public void What_is_written_is_read_back_as_it_was(string name)
    {
        var (read, _) = Read(CaseOf(name));
        Assert.Equal(Expected[name], read);
    }

    [Theory, MemberData(nameof(Spoilings))]
    public void Anything_else_is_no_declaration(string what)
    {
        var spoiling = Vectors.GetProperty("spoilings").EnumerateArray().Single(s => s.GetProperty("is").GetString() == what);
        var consent = CaseOf(spoiling.GetProperty("of").GetString()!);
        Change(consent, spoiling.GetProperty("at").GetString()!, spoiling.TryGetProperty("value", out var value) ? JsonNode.Parse(value.GetRawText()) : null);
        Assert.Equal((null, Enum.Parse<DenyReason>(spoiling.GetProperty("expect").GetString()!)), Read(consent));
        using var document = JsonDocument.Parse(consent.ToJsonString());
        Assert.Null(Declarations.Read(document.RootElement));
    }

    /// <summary>Where it is about to be written is known, and by which references the Patient of that record is named.</summary>
    [Theory]
    [InlineData("Patient/0b0a55d2-799a-45f5-a161-6a4a5faad1f8", true)]
    [InlineData("https://kanta.example/fhir/Patient/0b0a55d2-799a-45f5-a161-6a4a5faad1f8", true)]
    [InlineData("https://another.example/fhir/Patient/0b0a55d2-799a-45f5-a161-6a4a5faad1f8", false)]
    [InlineData("Patient/4f6c0b3e-1111-4000-8000-000000000001", false)]
    [InlineData(null, false)]
    public void What_is_written_names_the_person_whose_record_it_goes_into(string? reference, bool isNamed)
    {
        var consent = CaseOf("permission");
        consent["patient"] = new JsonObject { ["reference"] = reference };
        using var document = JsonDocument.Parse(consent.ToJsonString());
        var (declaration, objection) = DeclarationReader.Read(document.RootElement, "Patient/" + PatientId, "https://kanta.example/fhir/Patient/" + PatientId);
        Assert.Equal((isNamed, isNamed ? default : DenyReason.PatientNotNamed), (declaration is not null, objection));
    }

    [Fact]
    public void A_withdrawn_declaration_is_the_same_one_out_of_force()
    {
        var stored = CaseOf("denial of a service event");
        (stored["id"], stored["meta"]) = ("c7", JsonNode.Parse("""{"versionId":"v3"}"""));
        stored["verification"] = JsonNode.Parse("""[{"verified":true,"verifiedWith":{"display":"Aino"}}]""");
        using var document = JsonDocument.Parse(stored.ToJsonString());
        var withdrawn = JsonNode.Parse(Declarations.Withdrawn(document.RootElement))!.AsObject();
        Assert.False(withdrawn.ContainsKey("meta") || withdrawn.ContainsKey("verification"));
        Assert.Equal(Expected["denial of a service event"] with { Id = "c7", IsActive = false }, Read(withdrawn).Declaration);
    }

    /// <summary>Who declares it stands in the Consent, and in each of its versions who made that one.</summary>
    [Fact]
    public void A_custodians_declaration_names_a_related_person_as_its_performer()
    {
        byte[] Consent(string? custodian) => Declarations.Printable(Declarations.Permit(PatientId, Now), "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>", custodian);
        var (custodians, own) = (Consent("Helmi Koe"), Consent(null));
        Assert.Equal((true, false), (Read(JsonNode.Parse(custodians)!.AsObject()).Declaration!.ByCustodian, Read(JsonNode.Parse(own)!.AsObject()).Declaration!.ByCustodian));
        Assert.Equal("Patient/" + PatientId, (string?)JsonNode.Parse(own)!["performer"]![0]!["reference"]);
        Assert.Equal("Helmi Koe", (string?)JsonNode.Parse(custodians)!["performer"]![0]!["display"]);
        var (resource, fault) = ResourceParser.Parse(custodians);
        Assert.True(resource is not null, fault?.ToString());
        using var stored = JsonDocument.Parse(custodians);
        var withdrawn = Declarations.Printable(Declarations.Withdrawn(stored.RootElement), "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>");
        Assert.Equal((false, false), (Read(JsonNode.Parse(withdrawn)!.AsObject()).Declaration!.ByCustodian, Read(JsonNode.Parse(withdrawn)!.AsObject()).Declaration!.IsActive));
        // As a desk may send it.
        var byReference = JsonNode.Parse(own)!.AsObject();
        byReference["performer"]![0]!["reference"] = "RelatedPerson/" + PatientId;
        Assert.True(Read(byReference).Declaration!.ByCustodian);
    }

    [Fact]
    public void A_stored_declaration_is_known_by_its_id_and_version()
    {
        var stored = CaseOf("permission");
        (stored["id"], stored["meta"]) = ("c7", JsonNode.Parse("""{"versionId":"v3"}"""));
        Assert.Equal(("c7", "v3"), (Read(stored).Declaration!.Id, Read(stored).Declaration!.VersionId));
        stored["meta"] = JsonNode.Parse("{}");
        Assert.Equal("", Read(stored).Declaration!.VersionId);
    }

    /// <summary>A day lasts to its end in Finland, a moment to itself; a day begins when it begins there.</summary>
    [Theory]
    [InlineData("""{"start":"2026-11-25T10:00:00Z"}""", "2026-11-25T10:00Z", null)]
    [InlineData("""{"start":"2026-11-25"}""", "2026-11-24T22:00Z", null)]
    [InlineData("""{"end":"2026-11-25T10:00:00Z"}""", null, "2026-11-25T10:00Z")]
    [InlineData("""{"end":"2026-11-25"}""", null, "2026-11-25T22:00Z")]
    [InlineData("""{"end":"2026-07"}""", null, "2026-07-31T21:00Z")]
    [InlineData("""{"start":"2026-07-01","end":"2026-07-01"}""", "2026-06-30T21:00Z", "2026-07-01T21:00Z")]
    [InlineData("{}", null, null)]
    public void A_period_holds_from_its_start_until_its_end(string period, string? from, string? until)
    {
        foreach (var name in new[] { "permission", "denial of all", "confirmation" })
        {
            var consent = CaseOf(name);
            consent["provision"]!["period"] = JsonNode.Parse(period);
            var read = Read(consent).Declaration!;
            Assert.Equal((At(from), At(until)), (read.From, read.Until));
        }

        static DateTimeOffset? At(string? text) => text is null ? null : DateTimeOffset.Parse(text, System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>§51, law 3: what closes, and the person has part in, is the person's own, whoever else stands on the form.</summary>
    [Theory]
    [InlineData("""{"performer":[{"reference":"Patient/$"},{"reference":"RelatedPerson/1"}]}""", false)]
    [InlineData("""{"performer":[{"reference":"RelatedPerson/1"}],"verification":[{"verified":true,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"}]}""", false)]
    [InlineData("""{"performer":[{"reference":"Patient/$"}],"verification":[{"verified":true,"verifiedWith":{"reference":"RelatedPerson/1"},"verificationDate":"2026-11-25"}]}""", false)]
    [InlineData("""{"performer":[{"reference":"RelatedPerson/1"}],"verification":[{"verified":true,"verifiedWith":{"reference":"Patient/$"}}]}""", false)]
    [InlineData("""{"performer":[{"reference":"RelatedPerson/1"}],"verification":[{"verified":false,"verifiedWith":{"reference":"Patient/$"}}]}""", true)]
    [InlineData("""{"performer":[{"reference":"Practitioner/1"}],"verification":[{"verified":false,"verifiedWith":{"reference":"RelatedPerson/1"}}]}""", false)]
    [InlineData("""{"performer":[{"reference":"RelatedPerson/1"}]}""", true)]
    [InlineData("""{"performer":[{"reference":"#m"}],"contained":[{"resourceType":"RelatedPerson","id":"m"}]}""", true)]
    [InlineData("""{"verification":[{"verified":true,"verifiedWith":{"reference":"RelatedPerson/1"},"verificationDate":"2026-11-25"}]}""", true)]
    [InlineData("""{"performer":[{"display":"Helmi Koe"}]}""", false)]
    [InlineData("{}", false)]
    public void What_the_person_withdraws_with_others_is_the_persons(string parts, bool isAnothers)
    {
        var consent = CaseOf("permission");
        consent["status"] = "inactive";
        consent.Remove("performer");
        foreach (var (name, value) in JsonNode.Parse(parts.Replace("Patient/$", "Patient/" + PatientId, StringComparison.Ordinal))!.AsObject())
            consent[name] = value!.DeepClone();
        Assert.Equal(isAnothers, Read(consent).Declaration!.ByCustodian);
    }

    [Theory]
    [InlineData("""{"performer":[{"display":"Helmi Koe"}]}""", true)]
    [InlineData("""{"performer":[{"type":"Patient","identifier":{"value":"1"}}]}""", true)]
    [InlineData("""{"performer":[{"reference":"Patient/$"},{"reference":"https://vanha.example/RelatedPerson/1"}]}""", true)]
    [InlineData("""{"performer":[{"type":"http://hl7.org/fhir/StructureDefinition/RelatedPerson"}]}""", true)]
    [InlineData("""{"verification":[{"verified":true,"verifiedWith":{"display":"Helmi Koe"}}]}""", true)]
    [InlineData("""{"verification":[{"verified":true,"verifiedWith":{"reference":"Practitioner/1"}}]}""", true)]
    [InlineData("""{"verification":[{"verified":false}]}""", false)]
    [InlineData("""{"performer":[{"reference":"Patient/$"},{"reference":"RelatedPerson/1"},{"type":"RelatedPerson"},{"type":"Organization"},{"reference":"PractitionerRole/1"},{"reference":"Practitioner/1"}]}""", false)]
    [InlineData("{}", false)]
    [InlineData("""{"performer":[{"reference":"Patient/$"},{"reference":"https://klinikka.example/fhir/Practitioner/7"}]}""", false)]
    [InlineData("""{"performer":[{"reference":"https://klinikka.example/x/7","type":"Practitioner"}]}""", false)]
    [InlineData("""{"performer":[{"reference":"https://klinikka.example/fhir/Patient/7","type":"Patient"}]}""", true)]
    [InlineData("""{"performer":[{"reference":"https://7","type":"RelatedPerson"}]}""", true)]
    public void Who_speaks_is_said_or_is_unclear(string parts, bool isUnclear)
    {
        var consent = CaseOf("permission");
        foreach (var (name, value) in JsonNode.Parse(parts.Replace("Patient/$", "Patient/" + PatientId, StringComparison.Ordinal))!.AsObject())
            consent[name] = value!.DeepClone();
        Assert.Equal(isUnclear, Read(consent).Declaration!.IsSpeakerUnclear);
    }

    /// <summary>§58: what is only described in the Consent nobody finds again.</summary>
    [Theory]
    [InlineData("RelatedPerson/1", true)]
    [InlineData("#m", false)]
    public void A_related_person_signs_who_is_stored(string reference, bool isSigned)
    {
        var consent = CaseOf("permission");
        foreach (var source in consent.Select(static part => part.Key).Where(static key => key.StartsWith("source", StringComparison.Ordinal)).ToList())
            consent.Remove(source);
        consent["contained"] = JsonNode.Parse("""[{"resourceType":"RelatedPerson","id":"m"}]""");
        consent["verification"] = new JsonArray(new JsonObject { ["verified"] = true, ["verifiedWith"] = new JsonObject { ["reference"] = reference }, ["verificationDate"] = "2026-11-25" });
        Assert.Equal(isSigned, Read(consent).Declaration!.IsSigned);
    }

    /// <summary>§51: to take a denial back, or in part, a desk says whose word it is; a permission, and what closes, may be on a form that names nobody.</summary>
    [Theory]
    [InlineData("denial of all", "inactive", "{}", true)]
    [InlineData("denial of all", "inactive", """{"performer":[{"reference":"Practitioner/1"}]}""", true)]
    [InlineData("denial of all", "inactive", """{"verification":[{"verified":true,"verifiedWith":{"reference":"Patient/$"}}]}""", true)]
    [InlineData("denial of all", "inactive", """{"verification":[{"verified":true,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"}]}""", false)]
    [InlineData("denial of all", "inactive", """{"performer":[{"reference":"Patient/$"}]}""", false)]
    [InlineData("denial of all", "inactive", """{"performer":[{"type":"RelatedPerson"}]}""", false)]
    [InlineData("denial of all", "active", "{}", false)]
    [InlineData("permission", "active", "{}", false)]
    [InlineData("permission", "inactive", "{}", false)]
    public void A_desk_says_whose_word_takes_a_denial_back(string name, string status, string parts, bool isUnclear)
    {
        var consent = CaseOf(name);
        consent.Remove("performer");
        consent["status"] = status;
        foreach (var (part, value) in JsonNode.Parse(parts.Replace("Patient/$", "Patient/" + PatientId, StringComparison.Ordinal))!.AsObject())
            consent[part] = value!.DeepClone();
        Assert.False(Read(consent).Declaration!.IsSpeakerUnclear);
        consent["organization"] = JsonNode.Parse("""[{"type":"Organization","identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.99000011"}}]""");
        Assert.Equal(isUnclear, Read(consent).Declaration!.IsSpeakerUnclear);
    }

    [Theory]
    [InlineData("Patient/$", 0)]
    [InlineData("#w", 0)]
    [InlineData("#q", 1)]
    public void What_is_described_for_who_spoke_alone_goes_with_them(string reference, int kept)
    {
        var stored = CaseOf("permission");
        stored["contained"] = JsonNode.Parse("""[{"resourceType":"RelatedPerson","id":"w"},{"resourceType":"QuestionnaireResponse","id":"q","status":"completed"}]""");
        stored["verification"] = JsonNode.Parse("""[{"verified":true,"verifiedWith":{"reference":"#w"}}]""");
        stored[reference == "#q" ? "sourceReference" : "performer"] = reference == "#q" ? new JsonObject { ["reference"] = reference } : new JsonArray(new JsonObject { ["reference"] = reference });
        using var document = JsonDocument.Parse(stored.ToJsonString());
        var withdrawn = JsonNode.Parse(Declarations.Withdrawn(document.RootElement))!.AsObject();
        Assert.Equal(kept, withdrawn["contained"]?.AsArray().Count ?? 0);
        Assert.Equal(($"Patient/{PatientId}", false), ((string?)withdrawn["performer"]!.AsArray().Single()!["reference"], withdrawn.ContainsKey("verification")));
    }

    /// <summary>§51: a form says by whom it is: whom it names, or who alone signed it.</summary>
    [Theory]
    [InlineData("""{"performer":[{"reference":"Patient/$"}]}""", false)]
    [InlineData("""{"verification":[{"verified":true,"verifiedWith":{"reference":"RelatedPerson/1"},"verificationDate":"2026-11-25"}]}""", true)]
    [InlineData("""{"performer":[{"reference":"Patient/$"}],"verification":[{"verified":true,"verifiedWith":{"reference":"RelatedPerson/1"},"verificationDate":"2026-11-25"}]}""", true)]
    [InlineData("""{"verification":[{"verified":true,"verifiedWith":{"reference":"RelatedPerson/1"}},{"verified":true,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"}]}""", false)]
    [InlineData("""{"performer":[{"type":"RelatedPerson","display":"Helmi Koe"}],"verification":[{"verified":true,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"}]}""", true)]
    [InlineData("""{"verification":[{"verified":false,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"},{"verified":true,"verifiedWith":{"reference":"RelatedPerson/1"},"verificationDate":"2026-11-25"}]}""", true)]
    [InlineData("""{"verification":[{"verified":true,"verifiedWith":{"reference":"Patient/$"}},{"verified":true,"verifiedWith":{"reference":"RelatedPerson/1"},"verificationDate":"2026-11-25"}]}""", true)]
    [InlineData("""{"verification":[{"verified":true,"verifiedWith":{"reference":"#m"},"verificationDate":"2026-11-25"}],"contained":[{"resourceType":"RelatedPerson","id":"m"}]}""", true)]
    [InlineData("""{"verification":[{"verified":false}]}""", false)]
    [InlineData("""{"performer":[{"reference":"#m"}],"contained":[{"resourceType":"Practitioner","id":"x"},{"resourceType":"RelatedPerson","id":"m"}]}""", true)]
    [InlineData("""{"performer":[{"reference":"#x"}],"contained":[{"resourceType":"Practitioner","id":"x"},{"resourceType":"RelatedPerson","id":"m"}]}""", false)]
    [InlineData("""{"performer":[{"reference":"#y","type":"Practitioner"}]}""", true)]
    [InlineData("""{"performer":[{"reference":"#y"}],"contained":[{"resourceType":"Patient","id":"y"}]}""", true)]
    [InlineData("""{"performer":[{"reference":"Patient/$"},{"reference":"Patient/another"}]}""", true)]
    [InlineData("""{"performer":[{"type":"Patient","display":"Helmi Koe"}]}""", true)]
    [InlineData("""{"performer":[{"display":"Helmi Koe"}]}""", true)]
    [InlineData("""{"performer":[{"reference":"urn:uuid:0b4b4d3e-6a0c-4a57-9c0d-4a5e6f708192"}]}""", true)]
    [InlineData("""{"performer":[{"reference":"Practitioner/1"},{"reference":"PractitionerRole/1"},{"reference":"Organization/1"},{"type":"Organization","display":"Aurora"}]}""", false)]
    public void What_a_related_person_declares_or_alone_signs_is_theirs(string parts, bool isTheirs)
    {
        var consent = CaseOf("permission");
        foreach (var (name, value) in JsonNode.Parse(parts.Replace("Patient/$", "Patient/" + PatientId, StringComparison.Ordinal))!.AsObject())
            consent[name] = value!.DeepClone();
        Assert.Equal(isTheirs, Read(consent).Declaration!.ByCustodian);
    }

    [Theory]
    [InlineData("2026-11-25", true)]
    [InlineData("2026-11", true)]
    [InlineData("2026", true)]
    [InlineData("2026-11-25T10:00:00Z", false)]
    [InlineData("2026-11-25T10:00:00.000+02:00", false)]
    public void A_date_without_a_time_is_of_a_day(string dateTime, bool isOfDay)
    {
        var consent = CaseOf("permission");
        consent["dateTime"] = dateTime;
        Assert.Equal(isOfDay, Read(consent).Declaration!.IsOfDay);
    }

    [Theory]
    [InlineData("/sourceAttachment", """{"contentType":"application/pdf","data":"JVBERi0="}""", true)]
    [InlineData("/sourceAttachment", """{"data":"JVBERi0="}""", false)]
    [InlineData("/sourceAttachment", """{"url":"Binary/1"}""", true)]
    [InlineData("/sourceAttachment", """{"title":"form"}""", false)]
    [InlineData("/sourceAttachment", """{"data":"","url":""}""", false)]
    [InlineData("/sourceReference", """{"reference":"DocumentReference/1"}""", true)]
    [InlineData("/sourceAttachment", """{"url":"https://example.org/form"}""", false)]
    [InlineData("/sourceReference", """{"reference":"Consent/1"}""", false)]
    [InlineData("/sourceReference", """{"reference":"DocumentReference/"}""", false)]
    [InlineData("/sourceReference", """{"reference":""}""", false)]
    [InlineData("/sourceReference", """{"display":"form"}""", false)]
    [InlineData("/verification", """[{"verified":true,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"}]""", true)]
    [InlineData("/verification", """[{"verified":true,"verifiedWith":{"reference":"RelatedPerson/1"},"verificationDate":"2026-11-25"}]""", true)]
    [InlineData("/verification", """[{"verified":true,"verifiedWith":{"reference":"Practitioner/1"},"verificationDate":"2026-11-25"}]""", false)]
    [InlineData("/verification", """[{"verified":true,"verifiedWith":{"type":"RelatedPerson","display":"Helmi Koe"},"verificationDate":"2026-11-25"}]""", false)]
    [InlineData("/verification", """[{"verified":false,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"},{"verified":true,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"}]""", true)]
    [InlineData("/verification", """[{"verified":true,"verificationDate":"2026-11-25"}]""", false)]
    [InlineData("/verification", """[{"verified":true,"verifiedWith":{"display":"Aino"},"verificationDate":"2026-11-25"}]""", false)]
    [InlineData("/verification", """[{"verified":true,"verifiedWith":{"reference":"Patient/1"},"verificationDate":"2026-11-25"}]""", false)]
    [InlineData("/verification", """[{"verified":true,"verifiedWith":{"reference":"Patient/$"}}]""", false)]
    [InlineData("/verification", """[{"verified":false,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"}]""", false)]
    [InlineData("/verification", """[{"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"}]""", false)]
    [InlineData("/verification", """{"verified":true,"verifiedWith":{"reference":"Patient/$"},"verificationDate":"2026-11-25"}""", false)]
    public void A_signed_form_or_a_verification_of_the_person_is_a_signature(string at, string value, bool isSigned)
    {
        var consent = CaseOf("permission");
        Assert.False(Read(consent).Declaration!.IsSigned);
        Change(consent, at, JsonNode.Parse(value.Replace("Patient/$", "Patient/" + PatientId, StringComparison.Ordinal)));
        Assert.Equal(isSigned, Read(consent).Declaration!.IsSigned);
    }

    [Theory]
    [InlineData("""[{"type":"Organization","identifier":{"value":"urn:oid:1.2.246.10.99000022"}}]""", "1.2.246.10.99000022")]
    [InlineData("""[{"type":"Organization","identifier":{"value":"urn:oid:1.2.246.10.99000022"}},{"type":"Organization","identifier":{"value":"urn:oid:1.2.246.10.99000022.10.1"}}]""", "1.2.246.10.99000022")]
    [InlineData("""[{"type":"Organization","identifier":{"value":"urn:oid:1.2.246.10.99000022"}},{"display":"desk"}]""", null)]
    [InlineData("""[{"type":"Practitioner","identifier":{"value":"urn:oid:1.2.246.10.99000022"}}]""", null)]
    [InlineData("""[{"type":"Organization"}]""", null)]
    [InlineData("[]", null)]
    public void Who_recorded_a_declaration_is_the_first_organisation_where_each_has_an_OID(string organisations, string? recordedBy)
    {
        var consent = CaseOf("permission");
        consent["organization"] = JsonNode.Parse(organisations);
        Assert.Equal(recordedBy, Read(consent).Declaration!.RecordedBy);
    }

    [Fact]
    public void Other_categories_codings_policies_and_extensions_may_stand_beside()
    {
        var informing = CaseOf("informing");
        informing["policy"] = JsonNode.Parse("""[{"authority":"https://example.org"},{"uri":"https://example.org/other"},{"uri":"https://kantagateway.fi/informing/2019-1"}]""");
        informing["category"]![1]!["coding"]!.AsArray().Insert(0, JsonNode.Parse("""{"system":"https://example.org/kind","code":"research"}"""));
        informing["category"]!.AsArray().Insert(0, JsonNode.Parse("""{"text":"without codings"}"""));
        Assert.Equal((true, false, "2019-1"), Read(informing).Declaration is Informing told ? (told.IsActive, told.IsCurrent, told.TextVersion) : default);

        var emergency = CaseOf("emergency");
        emergency["extension"]!.AsArray().Insert(0, JsonNode.Parse("""{"url":"https://example.org/other","valueString":"x"}"""));
        emergency["extension"]![1]!["valueCodeableConcept"]!["coding"]!.AsArray().Insert(0, JsonNode.Parse("""{"system":"https://example.org/reason","code":"fall"}"""));
        Assert.Equal(Expected["emergency"], Read(emergency).Declaration);
    }

    [Fact]
    public void A_service_that_a_confirmation_names_twice_is_named()
    {
        var confirmation = CaseOf("confirmation");
        confirmation["provision"]!["securityLabel"]!.AsArray().Add(confirmation["provision"]!["securityLabel"]![0]!.DeepClone());
        Assert.Equal(Expected["confirmation"], Read(confirmation).Declaration);
    }

    [Fact]
    public void Services_and_reasons_are_told_by_their_names_and_words()
    {
        Assert.Equal(["psychiatry", "genetics"], Declarations.NamesOf(ProtectedService.Genetics | ProtectedService.Psychiatry));
        Assert.Empty(Declarations.NamesOf((ProtectedService)byte.MaxValue));
        using var emergency = JsonDocument.Parse(CaseOf("emergency").ToJsonString());
        Assert.Equal("Löytynyt tajuttomana.", Declarations.ReasonTextOf(emergency.RootElement));
        using var review = JsonDocument.Parse(CaseOf("review that finds none").ToJsonString());
        Assert.Null(Declarations.ReasonTextOf(review.RootElement));
    }

    [Fact]
    public void Ids_that_declarations_name_are_compared_as_the_repository_writes_them()
    {
        var prescription = CaseOf("denial of a prescription");
        prescription["provision"]!["data"]![0]!["reference"]!["reference"] = "MedicationRequest/4F6C0B3E-1111-4000-8000-000000000001";
        Assert.Equal(Expected["denial of a prescription"], Read(prescription).Declaration);

        var review = CaseOf("review that finds none");
        review["sourceReference"]!["reference"] = "Consent/4F6C0B3E-1111-4000-8000-0000000000E1";
        Assert.Equal(Expected["review that finds none"], Read(review).Declaration);
    }

    private static IEnumerable<(string Name, byte[] Consent, Declaration Declaration)> Written()
    {
        yield return ("informing", Declarations.Informing(PatientId, Now), new Informing { At = Now, TextVersion = Informing.CurrentTextVersion });
        yield return ("permission", Declarations.Permit(PatientId, Now), new DisclosurePermit { At = Now });
        foreach (var (name, target, allowsEmergency) in new (string, DenialTarget, bool)[]
        {
            ("denial of all", new DenialTarget.All(), false),
            ("denial of all but in an emergency", new DenialTarget.All(), true),
            ("denial of a service event", new DenialTarget.OfServiceEvent("1.2.246.10.99000011.14.2026.1"), false),
            ("denial of a public register", new DenialTarget.OfRegister("1.2.246.10.99000033", Register.Patient), false),
            ("denial of an occupational register", new DenialTarget.OfRegister("1.2.246.10.99000044", Register.Occupational("1.2.246.10.99000055")), false),
            ("denial of a prescription", new DenialTarget.OfPrescription("4f6c0b3e-1111-4000-8000-000000000001"), false),
        })
            yield return (name, Declarations.Denial(PatientId, target, Now, allowsEmergency), new DisclosureDenial { At = Now, Target = target, AllowsEmergency = allowsEmergency });

        const string Own = "1.2.246.10.99000022";
        var confirmation = new ProtectedConfirmation
        {
            At = Now, From = Now, Until = Now.AddHours(8), Professional = "revontuli-laakari", Organisation = Own, RecordedBy = Own, Purpose = "TREAT",
            Services = ProtectedService.Psychotherapy | ProtectedService.Psychiatry | ProtectedService.Psychology | ProtectedService.MentalHealth
                | ProtectedService.Addiction | ProtectedService.SexualTherapy | ProtectedService.Genetics,
        };
        yield return ("confirmation", Declarations.Confirmation(PatientId, confirmation), confirmation);
        // It began an hour ago; what it opens are services too whose label nobody knows.
        var everything = confirmation with { From = Now.AddHours(-1), Until = Now.AddHours(7), Unit = Own + ".10.1", Purpose = "ETREAT", Services = (ProtectedService)byte.MaxValue };
        yield return ("confirmation of everything", Declarations.Confirmation(PatientId, everything), everything);
        var emergency = new EmergencyAccess
        { At = Now, From = Now, Until = Now.AddMinutes(30), Professional = "revontuli-laakari", Organisation = Own, RecordedBy = Own, Unit = Own + ".10.1", Reason = EmergencyReason.CannotBeAsked };
        yield return ("emergency", Declarations.Emergency(PatientId, emergency with { From = null }, "Löytynyt tajuttomana."), emergency);
        yield return ("emergency of who cannot assess", Declarations.Emergency(PatientId, emergency with { Unit = null, Reason = EmergencyReason.CannotAssess }, "Sekava."),
            emergency with { Unit = null, Reason = EmergencyReason.CannotAssess });
        var review = new EmergencyReview
        { At = Now, Professional = "reviewer", Organisation = Own, RecordedBy = Own, Unit = Own + ".10.2", Emergency = "4f6c0b3e-1111-4000-8000-0000000000e1", IsJustified = true };
        yield return ("review that finds an emergency", Declarations.Review(PatientId, review), review);
        yield return ("review that finds none", Declarations.Review(PatientId, review with { IsJustified = false }), review with { IsJustified = false });
        yield return ("acknowledgement", Declarations.Acknowledged(PatientId, "4f6c0b3e-1111-4000-8000-0000000000e1", Now), new Acknowledgement { At = Now, Notice = "4f6c0b3e-1111-4000-8000-0000000000e1" });
    }

    private static JsonObject CaseOf(string name)
    {
        var vector = Vectors.GetProperty("cases").EnumerateArray().Single(c => c.GetProperty("name").GetString() == name);
        var consent = JsonNode.Parse(Vectors.GetProperty("common").GetRawText())!.AsObject();
        consent["category"]![1]!["coding"]![0]!["code"] = vector.GetProperty("kind").GetString();
        consent["policy"]![0]!["uri"] = vector.GetProperty("policy").GetString();
        foreach (var member in vector.GetProperty("with").EnumerateObject())
            consent[member.Name] = JsonNode.Parse(member.Value.GetRawText());
        return Sorted(consent)!.AsObject();
    }

    /// <summary>Members by name: their order says nothing.</summary>
    private static JsonNode? Sorted(JsonNode? node) => node switch
    {
        JsonObject its => new JsonObject(its.OrderBy(m => m.Key, StringComparer.Ordinal).Select(m => KeyValuePair.Create(m.Key, Sorted(m.Value)))),
        JsonArray its => new JsonArray([.. its.Select(Sorted)]),
        _ => node?.DeepClone(),
    };

    /// <summary>Sets or, where there is no value, removes what an RFC 6901 pointer names.</summary>
    private static void Change(JsonNode consent, string at, JsonNode? value)
    {
        var steps = at[1..].Split('/');
        foreach (var step in steps[..^1])
            consent = consent is JsonArray list ? list[int.Parse(step, System.Globalization.CultureInfo.InvariantCulture)]! : consent[step]!;
        switch (consent)
        {
            case JsonArray list when steps[^1] == "-":
                list.Add(value);
                break;
            case JsonArray list when int.Parse(steps[^1], System.Globalization.CultureInfo.InvariantCulture) is var index:
                list.RemoveAt(index);
                if (value is not null)
                    list.Insert(index, value);
                break;
            case JsonObject its when value is null:
                Assert.True(its.Remove(steps[^1]));
                break;
            default:
                consent[steps[^1]] = value;
                break;
        }
    }

    private static (Declaration? Declaration, DenyReason Objection) Read(JsonNode consent)
    {
        using var document = JsonDocument.Parse(consent.ToJsonString());
        var (declaration, objection) = DeclarationReader.Read(document.RootElement);
        return (declaration, objection);
    }
}
