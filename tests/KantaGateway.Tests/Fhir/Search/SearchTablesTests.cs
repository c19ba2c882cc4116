using System.Net;
using CsCheck;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Tests.Fhir.Search;

/// <summary>The tables and examples of hl7.org/fhir/R4/search.html, type by type, and what random queries end in.</summary>
public sealed class SearchTablesTests
{
    // :: number

    [Theory]
    [InlineData("100", "99.5", true)]
    [InlineData("100", "100.4999", true)]
    [InlineData("100", "100.5", false)]
    [InlineData("100", "99.4999", false)]
    [InlineData("100.00", "99.995", true)]
    [InlineData("100.00", "100.005", false)]
    [InlineData("100.00", "99.99", false)]
    [InlineData("1e2", "100", true)]
    [InlineData("1e2", "150", false)]
    [InlineData("lt100", "99.99", true)]
    [InlineData("lt100", "100", false)]
    [InlineData("le100", "100", true)]
    [InlineData("gt100", "100.01", true)]
    [InlineData("gt100", "100", false)]
    [InlineData("ge100", "100", true)]
    [InlineData("ge100", "99.4", false)]
    [InlineData("ne100", "100", false)]
    [InlineData("ne100", "101", true)]
    [InlineData("sa100", "100.01", true)]
    [InlineData("eb100", "99.99", true)]
    [InlineData("ap100", "110", true)]
    [InlineData("ap100", "111", false)]
    [InlineData("-1.5", "-1.5", true)]
    [InlineData("0.30", "0.3", true)]
    public void A_number_is_as_precise_as_it_is_written(string asked, string stored, bool found)
    {
        var risk = new RiskAssessment { Id = "r", Prediction = [new() { Probability = new FhirDecimal(decimal.Parse(stored, System.Globalization.CultureInfo.InvariantCulture)) }] };
        Assert.Equal(found, SearchSetting.Finds(risk, $"probability={asked}"));
    }

    // :: quantity

    [Theory]
    [InlineData("5.4|http://unitsofmeasure.org|mg", true)]
    [InlineData("5.40e-3|http://unitsofmeasure.org|g", true)]
    [InlineData("0.0054|http://unitsofmeasure.org|g", true)]
    [InlineData("5400|http://unitsofmeasure.org|ug", true)]
    [InlineData("0.0055|http://unitsofmeasure.org|g", false)]
    [InlineData("5.4|http://unitsofmeasure.org|mL", false)]
    [InlineData("gt0.005|http://unitsofmeasure.org|g", true)]
    [InlineData("lt0.005|http://unitsofmeasure.org|g", false)]
    [InlineData("ne0.0050|http://unitsofmeasure.org|g", true)]
    [InlineData("ne0.0054|http://unitsofmeasure.org|g", false)]
    [InlineData("5.4||mg", true)]
    [InlineData("5.4||milligram", true)]
    [InlineData("5.4||g", false)]
    [InlineData("5.4", true)]
    [InlineData("5.5", false)]
    [InlineData("ap5.0", true)]
    [InlineData("5.4|http://example.org|mg", false)]
    public void A_quantity_is_found_in_every_unit_of_the_same_kind(string asked, bool found) =>
        Assert.Equal(found, SearchSetting.Finds(new Observation { Id = "o", Value = new Quantity(5.4m, "mg") { Unit = "milligram" } }, $"value-quantity={WebUtility.UrlEncode(asked)}"));

    [Theory]
    [InlineData(60, "/min", "ge1|http://unitsofmeasure.org|/s", true)]
    [InlineData(60, "/min", "gt1|http://unitsofmeasure.org|/s", false)]
    [InlineData(60, "{beats}/min", "60|http://unitsofmeasure.org|{beats}/min", true)]
    [InlineData(37, "Cel", "37|http://unitsofmeasure.org|Cel", true)]
    [InlineData(37, "Cel", "37|http://unitsofmeasure.org|K", false)]
    [InlineData(140, "mmol/L", "0.140|http://unitsofmeasure.org|mol/L", true)]
    [InlineData(120, "mm[Hg]", "120|http://unitsofmeasure.org|mm[Hg]", true)]
    [InlineData(120, "mm[Hg]", "gt15|http://unitsofmeasure.org|kPa", true)]
    [InlineData(1, "[nonsense]", "1|http://unitsofmeasure.org|[nonsense]", true)]
    public void Units_that_have_no_factor_are_compared_as_written(int value, string unit, string asked, bool found) =>
        Assert.Equal(found, SearchSetting.Finds(new Observation { Id = "o", Value = new Quantity(value, unit) }, $"value-quantity={WebUtility.UrlEncode(asked)}"));

    // :: string

    [Theory]
    [InlineData("name=eve", true)]
    [InlineData("name=EVE", true)]
    [InlineData("given=eve", true)]
    [InlineData("given=velyn", false)]
    [InlineData("given:contains=vely", true)]
    [InlineData("given:exact=Evelyn", true)]
    [InlineData("given:exact=evelyn", false)]
    [InlineData("given:exact=Eve", false)]
    [InlineData("family=sjoberg", true)]
    [InlineData("family=Sjöb", true)]
    [InlineData("family:exact=Sjöberg", true)]
    [InlineData("family:exact=Sjoberg", false)]
    [InlineData("name=mrs", true)]
    [InlineData("name=von%5C%2Cx", true)]
    [InlineData("family=anna,sjo", true)]
    [InlineData("address=mannerheimintie", true)]
    [InlineData("address=00100", true)]
    [InlineData("address-city=hel", true)]
    [InlineData("address-city:contains=sink", true)]
    [InlineData("name:missing=false", true)]
    [InlineData("address-state:missing=true", true)]
    [InlineData("address-state:missing=false", false)]
    [InlineData("phone=0401234567", true)]
    [InlineData("email=e@example.org", true)]
    [InlineData("phone=e@example.org", false)]
    [InlineData("telecom=e@example.org", true)]
    [InlineData("deceased=false", true)]
    [InlineData("deceased=true", false)]
    [InlineData("active=true", true)]
    [InlineData("active:not=true", false)]
    [InlineData("birthdate=1990", true)]
    [InlineData("birthdate=lt1990", false)]
    [InlineData("gender=female", true)]
    public void A_person_is_found_by_name_address_and_what_is_said_of_them(string query, bool found) => Assert.Equal(found, SearchSetting.Finds(new Patient
    {
        Id = "p",
        Active = true,
        BirthDate = "1990-05-01",
        Gender = AdministrativeGender.Female,
        Name = [new() { Family = "Sjöberg", Given = ["Evelyn"], Prefix = ["Mrs"], Suffix = ["von,x"] }],
        Address = [new() { Line = ["Mannerheimintie 1"], City = "Helsinki", PostalCode = "00100" }],
        Telecom = [new(ContactPoint.ContactPointSystem.Phone, null, "0401234567"), new(ContactPoint.ContactPointSystem.Email, null, "e@example.org")],
    }, query));

    // :: token

    [Theory]
    [InlineData("code:not=a", false)]
    [InlineData("code:not=b", true)]
    [InlineData("code:not=b,a", false)]
    [InlineData("category:not=x", true)]
    [InlineData("code:text=head", true)]
    [InlineData("code:text=pain", true)]
    [InlineData("code:text=ache", false)]
    [InlineData("identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|446053", true)]
    [InlineData("identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|SS|446053", false)]
    [InlineData("identifier=http://hospital.example|446053", true)]
    [InlineData("identifier:missing=false", true)]
    [InlineData("category:missing=true", true)]
    [InlineData("_tag=http://example.org/tags|t", true)]
    [InlineData("_tag=other", false)]
    [InlineData("_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R", true)]
    [InlineData("_profile=http://example.org/StructureDefinition/p", true)]
    [InlineData("_profile=http://example.org/StructureDefinition/q", false)]
    [InlineData("_profile:below=http://example.org/", true)]
    [InlineData("_profile:below=http://example.org/Structure", false)]
    [InlineData("_profile:above=http://example.org/StructureDefinition/p/more", true)]
    [InlineData("_source=urn:oid:1.2.3", true)]
    [InlineData("subject:identifier=urn:oid:1.2|77", true)]
    [InlineData("subject:identifier=urn:oid:1.2|78", false)]
    [InlineData("subject:missing=false", true)]
    [InlineData("encounter:missing=true", true)]
    [InlineData("value-concept:missing=true", true)]
    [InlineData("code-value-quantity=a$gt5", true)]
    [InlineData("code-value-quantity=a$gt6", false)]
    [InlineData("code-value-quantity=b$gt5", false)]
    [InlineData("code-value-quantity=http://s|a$5.4|http://unitsofmeasure.org|mg", true)]
    [InlineData("component-code-value-quantity=sys$120", true)]
    [InlineData("component-code-value-quantity=dia$120", false)]
    [InlineData("component-code-value-quantity=dia$80,sys$80", true)]
    [InlineData("combo-code-value-quantity=sys$120", true)]
    [InlineData("combo-code-value-quantity=a$5.4", true)]
    [InlineData("combo-code=dia", true)]
    public void An_observation_is_found_by_codes_meta_and_composites(string query, bool found) => Assert.Equal(found, SearchSetting.Finds(new Observation
    {
        Id = "o",
        Meta = new() { Tag = [new("http://example.org/tags", "t")], Security = [new("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "R")], Profile = ["http://example.org/StructureDefinition/p"], Source = "urn:oid:1.2.3" },
        Code = new() { Coding = [new("http://s", "a") { Display = "Headache" }], Text = "Pain in the head" },
        Identifier = [new("http://hospital.example", "446053") { Type = new("http://terminology.hl7.org/CodeSystem/v2-0203", "MR") }],
        Subject = new("Patient/p") { Identifier = new("urn:oid:1.2", "77") },
        Value = new Quantity(5.4m, "mg"),
        Component =
        [
            new() { Code = new("http://s", "sys"), Value = new Quantity(120, "mm[Hg]") },
            new() { Code = new("http://s", "dia"), Value = new Quantity(80, "mm[Hg]") },
        ],
    }, query));

    [Theory]
    [InlineData("questionnaire=http://example.org/Questionnaire/q", true)]
    [InlineData("questionnaire=http://example.org/Questionnaire/q|2", true)]
    [InlineData("questionnaire=http://example.org/Questionnaire/q|3", false)]
    public void A_canonical_is_found_with_and_without_its_version(string query, bool found) =>
        Assert.Equal(found, SearchSetting.Finds(new QuestionnaireResponse { Id = "q", Questionnaire = "http://example.org/Questionnaire/q|2" }, query));

    [Fact]
    public void A_document_is_found_by_what_it_does_to_another() => Assert.True(SearchSetting.Finds(new DocumentReference
    {
        Id = "d",
        RelatesTo = [new() { Code = DocumentRelationshipType.Replaces, Target = new("DocumentReference/1") }],
    }, "relationship=replaces$DocumentReference/1"));

    [Fact]
    public void Patient_is_a_reference_to_a_patient_only()
    {
        Assert.True(SearchSetting.Finds(new Observation { Id = "o", Subject = new("Patient/1") }, "patient=1"));
        Assert.False(SearchSetting.Finds(new Observation { Id = "o", Subject = new("Group/1") }, "patient:missing=false"));
        Assert.True(SearchSetting.Finds(new Observation { Id = "o", Subject = new("Group/1") }, "subject:Group=1"));
    }

    // :: what others say

    private static InMemorySpace Ward()
    {
        var space = new InMemorySpace();
        space.Add(new Patient { Id = "p1", Name = [new() { Family = "Aalto" }], GeneralPractitioner = [new("Practitioner/d1")] });
        space.Add(new Patient { Id = "p2", Name = [new() { Family = "Berg" }] });
        space.Add(new Practitioner { Id = "d1", Name = [new() { Family = "Doctor" }] });
        space.Add(new Encounter { Id = "e1", Subject = new("Patient/p1"), Status = Encounter.EncounterStatus.Finished });
        space.Add(new Observation { Id = "o1", Code = new("s", "a"), Subject = new("Patient/p1"), Encounter = new("Encounter/e1/_history/1"), Value = new Quantity(5, "g"), Effective = new FhirDateTime("2030-05") });
        space.Add(new Observation { Id = "o2", Code = new("s", "b"), Subject = new("Patient/p2"), Value = new Quantity(700, "mg"), Effective = new FhirDateTime("2030-04") });
        space.Add(new Observation { Id = "o3", Code = new("s", "a"), Subject = new("Patient/p9"), Effective = new FhirDateTime("2030-06"), DerivedFrom = [new("Observation/o2")] });
        space.Add(new Provenance { Id = "v1", Target = [new("Observation/o2")], Agent = [new() { Who = new("Practitioner/d1") }], Recorded = SearchSetting.Now });
        return space;
    }

    [Theory]
    [InlineData("Observation", "subject:Patient.name=aal", "o1")]
    [InlineData("Observation", "subject.name=b", "o2")]
    [InlineData("Observation", "patient.name:exact=Berg", "o2")]
    [InlineData("Observation", "patient.name:missing=false", "o1,o2")]
    [InlineData("Observation", "patient.general-practitioner.name=doc", "o1")]
    [InlineData("Observation", "subject:Patient.general-practitioner:Practitioner.family=doc", "o1")]
    [InlineData("Observation", "encounter.status=finished", "o1")]
    [InlineData("Observation", "encounter.subject.name=aalto", "o1")]
    [InlineData("Observation", "derived-from:Observation.patient.name=berg", "o3")]
    [InlineData("Observation", "subject.name=zzz", "")]
    [InlineData("Observation", "subject.name=a&code=b", "")]
    [InlineData("Patient", "_has:Observation:patient:code=b", "p2")]
    [InlineData("Patient", "_has:Observation:patient:code=a", "p1")]
    [InlineData("Patient", "_has:Observation:patient:code:not=a", "p2")]
    [InlineData("Patient", "_has:Observation:patient:_has:Provenance:target:agent=d1", "p2")]
    [InlineData("Patient", "_has:Observation:subject:value-quantity=gt0.8|http://unitsofmeasure.org|g", "p1")]
    [InlineData("Practitioner", "_has:Patient:general-practitioner:name=aalto", "d1")]
    [InlineData("Observation", "_has:Observation:derived-from:code=a", "o2")]
    [InlineData("Observation", "patient._has:Encounter:patient:status=finished", "o1")]
    [InlineData("Observation", "_sort=date", "o2,o1,o3")]
    [InlineData("Observation", "_sort=-date", "o3,o1,o2")]
    [InlineData("Observation", "_sort=code,-date", "o3,o1,o2")]
    [InlineData("Observation", "_sort=-code,date", "o2,o1,o3")]
    [InlineData("Observation", "_sort=value-quantity", "o2,o1,o3")]
    [InlineData("Observation", "_sort=-value-quantity", "o1,o2,o3")]
    [InlineData("Observation", "_sort=patient", "o1,o2,o3")]
    [InlineData("Observation", "_sort=-_lastUpdated", "o3,o2,o1")]
    [InlineData("Patient", "_sort=-name", "p2,p1")]
    public void Chains_reverse_chains_and_order(string type, string query, string found) =>
        Assert.Equal(found.Split(',', StringSplitOptions.RemoveEmptyEntries), Ward().Search(SearchSetting.Read(type, query)));

    /// <summary>A hospital of two buildings, one with a ward that has a room.</summary>
    [Theory]
    [InlineData("Location", "partof:below=hospital", "building,other,ward,room")]
    [InlineData("Location", "partof:below=Location/building", "ward,room")]
    [InlineData("Location", "partof:below=room", "")]
    [InlineData("Location", "partof:above=Location/ward", "building,other,ward,room")]
    [InlineData("Location", "partof:below=other,ward", "room")]
    [InlineData("Encounter", "location:below=Location/hospital", "visit,check")]
    [InlineData("Encounter", "location:below=https://gateway.example/fhir/Location/building", "visit,check")]
    [InlineData("Encounter", "location:below=other", "")]
    [InlineData("Encounter", "location:above=room", "visit,check")]
    [InlineData("Encounter", "location:above=ward", "check")]
    [InlineData("Encounter", "location.partof:below=ward", "visit")]
    [InlineData("Encounter", "part-of:below=visit", "check")]
    [InlineData("Observation", "encounter:below=visit", "o")]
    [InlineData("Observation", "encounter:below=nowhere", "")]
    [InlineData("Location", "_has:Encounter:location:part-of:below=visit", "ward")]
    public void What_is_part_of_something_is_found_with_it(string type, string query, string found)
    {
        var space = new InMemorySpace();
        space.Add(new Location { Id = "hospital" });
        space.Add(new Location { Id = "building", PartOf = new("Location/hospital") });
        space.Add(new Location { Id = "other", PartOf = new("Location/hospital") });
        space.Add(new Location { Id = "ward", PartOf = new("Location/building/_history/1") });
        space.Add(new Location { Id = "room", PartOf = new("Location/ward") });
        space.Add(new Encounter { Id = "visit", Location = [new() { Location = new("Location/room") }] });
        space.Add(new Encounter { Id = "check", Location = [new() { Location = new("Location/ward") }], PartOf = new("Encounter/visit") });
        space.Add(new Observation { Id = "o", Code = new("s", "a"), Encounter = new("Encounter/check") });
        Assert.Equal(found.Split(',', StringSplitOptions.RemoveEmptyEntries), space.Search(SearchSetting.Read(type, query)));
    }

    [Fact]
    public void A_place_that_is_part_of_itself_is_gone_round_once()
    {
        var space = new InMemorySpace();
        space.Add(new Location { Id = "a", PartOf = new("Location/b") });
        space.Add(new Location { Id = "b", PartOf = new("Location/a") });
        Assert.Equal(["a", "b"], space.Search(SearchSetting.Read("Location", "partof:below=a")));
        Assert.Equal(["a", "b"], space.Search(SearchSetting.Read("Location", "partof:above=a")));
    }

    [Fact]
    public void Includes_tell_what_a_record_refers_to()
    {
        var space = Ward();
        var run = SearchSetting.Read("Observation", "_include=Observation:patient&_include=*&_include:iterate=Patient:general-practitioner&_revinclude=Provenance:target:Observation").Over(space);
        var includes = SearchSetting.Read("Observation", "_include=Observation:patient&_include=*&_include:iterate=Patient:general-practitioner&_revinclude=Provenance:target:Observation").Includes;
        Assert.Equal([("Patient", "p1")], run.Targets(includes[0], space.Find("Observation", "o1")!));
        Assert.Equal([("Patient", "p1"), ("Encounter", "e1")], run.Targets(includes[1], space.Find("Observation", "o1")!));
        Assert.Empty(run.Targets(includes[2], space.Find("Observation", "o1")!));
        Assert.Equal([("Practitioner", "d1")], run.Targets(includes[2], space.Find("Patient", "p1")!));
        Assert.Equal([("Observation", "o2")], run.Targets(includes[3], space.Find("Provenance", "v1")!));
        Assert.Equal([false, false, true, false], includes.Select(i => i.Iterates));
        Assert.Equal([false, false, false, true], includes.Select(i => i.IsReverse));
    }

    // :: bounds and refusals

    [Theory]
    [InlineData("Observation", "derived-from.derived-from.derived-from.derived-from.derived-from.code=a")]
    [InlineData("Basic", "subject.subject.subject.subject.identifier=a")]
    [InlineData("Observation", "value-quantity=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21")]
    [InlineData("Observation", "_sort=date,date,date,date,date,date,date,date,date")]
    public void What_would_cost_too_much_is_refused_before_anything_is_looked_at(string type, string query)
    {
        var (parsed, fault) = SearchSetting.Parse(type, query);
        Assert.Null(parsed);
        Assert.Equal("too-costly", fault!.Issues[0].Code);
        Assert.NotNull(fault.Issues[0].Expression);
    }

    [Theory]
    [InlineData("_text=a")]
    [InlineData("_content=a")]
    [InlineData("_filter=a")]
    [InlineData("_list=a")]
    [InlineData("_query=a")]
    [InlineData("code:in=http://example.org/vs")]
    [InlineData("code:not-in=http://example.org/vs")]
    [InlineData("code:below=a")]
    [InlineData("specimen:above=a")]
    [InlineData("encounter:below=Location/a")]
    [InlineData("encounter:above=http://elsewhere.example/Encounter/a")]
    [InlineData("code=a|b|c")]
    public void Lenient_leaves_out_what_is_unknown_and_nothing_that_is_known(string query)
    {
        var (parsed, fault) = SearchSetting.Parse("Observation", query + "&colour=red", lenient: true);
        Assert.Null(parsed);
        Assert.Equal($"Observation?{query.Split('=')[0]}", Assert.Single(fault!.Issues).Expression);
        (parsed, _) = SearchSetting.Parse("Observation", "colour=red&code=a", lenient: true);
        Assert.Equal("Observation?colour", Assert.Single(parsed!.Ignored).Expression);
        Assert.Equal("code=a", parsed.Understood);
    }

    [Theory]
    [InlineData("_sort=nonsense")]
    [InlineData("_sort=date,-nonsense")]
    [InlineData("_include=Observation:nonsense")]
    [InlineData("_include=Nonsense:subject")]
    [InlineData("_include:iterate=Observation:subject:Nonsense")]
    [InlineData("_revinclude=Provenance:nonsense")]
    public void Lenient_leaves_out_an_unknown_order_or_include_and_strict_refuses_it(string query)
    {
        var (parsed, _) = SearchSetting.Parse("Observation", query + "&code=a&_include=Observation:subject", lenient: true);
        Assert.Equal($"Observation?{query.Split('=')[0]}", Assert.Single(parsed!.Ignored).Expression);
        Assert.Equal("code=a&_include=Observation:subject", parsed.Understood);
        Assert.Empty(parsed.Sort);
        Assert.Single(parsed.Includes);
        Assert.NotNull(SearchSetting.Parse("Observation", query).Fault);
    }

    [Theory]
    [InlineData("_sort=code-value-quantity")]
    [InlineData("_sort=_score")]
    [InlineData("_sort=date,date,date,date,date,date,date,date,date")]
    public void Lenient_refuses_an_order_that_is_known_and_not_served(string query) =>
        Assert.NotNull(SearchSetting.Parse("Observation", query, lenient: true).Fault);

    // :: random

    private static readonly string[] Words = ["a", "b", "1", "0.5", "ge2030-01", "5.4|http://unitsofmeasure.org|mg", "a$b", "a$1", "s|a", "|a", "s|", "Patient/p1", "http://x/y", "true", "name", "-date", "\\", "$", "|", ",", "", "%", "Ä", "\ud800", "1e999", "-1e-26", "9999999999999999999999999999", "gt", "*", "Observation:patient"];
    private static readonly string[] Modifiers = ["", "", "", ":not", ":missing", ":text", ":exact", ":contains", ":of-type", ":identifier", ":above", ":below", ":in", ":Patient", ":iterate", ":nonsense", ".name", ":Patient.name", ".subject.code"];

    /// <summary>Whatever is asked is answered or refused: nothing is thrown while reading, matching or sorting.</summary>
    [Fact]
    public void Random_queries_are_read_or_refused()
    {
        var types = KantaGateway.Fhir.Compartment.ResourceTypes.Served.ToArray();
        var spaces = types.Take(200).ToDictionary(t => t, t =>
        {
            var space = new InMemorySpace();
            foreach (var variant in (int[])[0, 1])
            {
                var resource = FullResources.Of(t, variant);
                resource.Id = $"r{variant}";
                space.Add(resource);
            }
            return space;
        });
        var parameters = Gen.Select(Gen.Int[0, types.Length - 1], Gen.Int[0, 1_000], Sample.OneOf(Modifiers), Sample.OneOf(Words), Sample.OneOf(Words), Gen.Int[0, 9]);
        parameters.Sample(p =>
        {
            var (type, names) = (types[p.Item1], SearchParameters.Of(types[p.Item1]));
            var name = p.Item6 switch
            {
                0 => "_sort", 1 => "_include", 2 => $"_has:Observation:subject:{names[p.Item2 % names.Count].Name}",
                _ => names[p.Item2 % names.Count].Name,
            };
            var value = p.Item6 == 0 ? names[p.Item2 % names.Count].Name : p.Item5.Length == 0 ? p.Item4 : $"{p.Item4},{p.Item5}";
            var (query, fault) = SearchSetting.Parse(type, $"{name}{p.Item3}={value}", lenient: p.Item2 % 2 == 0);
            if (query is not null)
                _ = spaces[type].Search(query);
            return query is not null != (fault is { Issues.Count: > 0 } && FaultTable.Of(fault.Kind).Status == 400);
        }, iter: 20_000);
    }
}
