using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.WebUtilities;

namespace KantaGateway.Tests.Disclosure;

/// <summary>A search concerns one patient, named by its parameters, or it is refused with what to do instead.</summary>
public sealed class SearchedCompartmentTests : IDisposable, IPseudonyms
{
    private const string Code = "010190-900P", Base = "https://localhost:8443/fhir";
    private static readonly Pseudonym Anna = PseudonymOf("anna"), Bertta = PseudonymOf("bertta");

    private readonly IdentifierCipher _ids = new(new byte[32]);

    private static Pseudonym PseudonymOf(string name) => Pseudonym.Read(SHA256.HashData(Encoding.UTF8.GetBytes(name)));

    public void Dispose() => _ids.Dispose();

    ValueTask<Pseudonym> IPseudonyms.OfAsync(PersonalIdentityCode code, CancellationToken cancel) => new(Anna);

    /// <param name="query">With <c>{anna}</c>, <c>{bertta}</c> for Patient ids, <c>{a7}</c>, <c>{b7}</c> for resources of theirs, <c>{d7}</c> for one of the directory.</param>
    private async Task<(Pseudonym? Compartment, Fault? Fault)> OfAsync(string query)
    {
        var (type, form) = query.Split('?') is [var t, var f] ? (t, f) : (query, "");
        form = form.Replace("{anna}", _ids.PatientId(Anna), StringComparison.Ordinal).Replace("{bertta}", _ids.PatientId(Bertta), StringComparison.Ordinal)
            .Replace("{a7}", _ids.ResourceId(Anna, 7), StringComparison.Ordinal).Replace("{a9}", _ids.ResourceId(Anna, 9), StringComparison.Ordinal)
            .Replace("{b7}", _ids.ResourceId(Bertta, 7), StringComparison.Ordinal).Replace("{d7}", _ids.ResourceId(Pseudonym.Directory, 7), StringComparison.Ordinal);
        return await new SearchedCompartment(_ids, this, "https://localhost:8443", testCodes: true).OfAsync(type, QueryHelpers.ParseQuery(form), default);
    }

    [Theory]
    [InlineData("Observation?patient={anna}")]
    [InlineData("Observation?patient=Patient/{anna}")]
    [InlineData($"Observation?subject={Base}/Patient/{{anna}}")]
    [InlineData("Observation?subject:Patient={anna}")]
    [InlineData("Observation?patient={anna},{anna}&code=8867-4")]
    [InlineData($"Observation?patient.identifier=urn:oid:1.2.246.21|{Code}")]
    [InlineData($"Observation?subject:Patient.identifier=urn:oid:1.2.246.21|{Code}")]
    [InlineData($"Patient?identifier=urn:oid:1.2.246.21|{Code}")]
    [InlineData("Patient?_id={anna}")]
    [InlineData("Observation?_id={a7},{a9}")]
    [InlineData("Observation?encounter={a7}")]
    [InlineData("Observation?encounter=Encounter/{a7}&code=8867-4")]
    [InlineData($"Observation?encounter={Base}/Encounter/{{a7}}")]
    [InlineData("Observation?encounter:Encounter={a7}")]
    [InlineData("Observation?encounter:below={a7}")]
    public async Task Parameters_name_their_patient(string query) => Assert.Equal((Anna, null), await OfAsync(query));

    [Theory]
    [InlineData("Observation?patient={anna}&_id={b7}")]
    [InlineData("Observation?encounter={b7}&patient={anna}")]
    [InlineData("Observation?_id={a7},{b7}&patient={anna}")]
    public async Task Who_it_is_about_decides_over_what_is_named_by_id(string query) => Assert.Equal((Anna, null), await OfAsync(query));

    [Theory]
    [InlineData("Observation?patient={anna}&patient={bertta}", "http.patient")]
    [InlineData("Observation?patient={anna},{bertta}", "http.patient")]
    [InlineData($"Observation?patient={{bertta}}&subject.identifier=urn:oid:1.2.246.21|{Code}", "http.subject.identifier")]
    [InlineData("Observation?_id={a7},{b7}", "http._id")]
    [InlineData("Observation?_id={a7}&encounter={b7}", "http.encounter")]
    [InlineData("Observation?patient=nobody", "http.patient")]
    [InlineData("Observation?patient={d7}", "http.patient")]
    [InlineData("Patient?identifier=urn:oid:1.2.246.21|010190-900X", "http.identifier")]
    [InlineData("Patient?identifier=urn:oid:1.2.246.21|010190-123A", "http.identifier")]
    [InlineData("Observation?patient={anna}&_list=7", "http._list")]
    [InlineData("Practitioner?_has:Observation:performer:code=1", "http._has")]
    [InlineData("Organization?_revinclude=Encounter:service-provider", "http._revinclude")]
    [InlineData("Organization?_revinclude:iterate=Encounter:service-provider", "http._revinclude")]
    public async Task What_concerns_several_or_nobody_here_is_refused_where_it_says_so(string query, string expression)
    {
        var (compartment, fault) = await OfAsync(query);
        Assert.Null(compartment);
        Assert.Equal(expression, Assert.Single(fault!.Issues).Expression);
    }

    [Theory]
    [InlineData("Observation")]
    [InlineData("Observation?code={a7}")]
    [InlineData("Observation?patient.name=anna")]
    [InlineData("Observation?patient.identifier=urn:mrn|1")]
    [InlineData("Observation?_has:Provenance:target:agent={a7}")]
    [InlineData("Observation?performer=Practitioner/{d7}")]
    [InlineData("Observation?patient=")]
    public async Task Anything_else_names_nobody(string query) => Assert.Equal((null, null), await OfAsync(query));
}
