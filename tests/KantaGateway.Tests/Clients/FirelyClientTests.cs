using System.Net;
using Hl7.Fhir.Model;
using Hl7.Fhir.Rest;
using KantaGateway.Client;
using KantaGateway.Tests.Laws;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Tests.Clients;

/// <summary>The Firely SDK's own client, over JSON and XML, against the whole house.</summary>
public sealed class FirelyClientTests : IAsyncLifetime
{
    private const string Loinc = "http://loinc.org";

    private HouseInMemory _house = null!;

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        await _house.AdmitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    [Theory]
    [InlineData(ResourceFormat.Json)]
    [InlineData(ResourceFormat.Xml)]
    public async Task A_resource_is_created_read_updated_patched_and_deleted(ResourceFormat format)
    {
        using var client = await ClientAsync(format);
        var created = (await client.CreateAsync(Note("29463-7")))!;
        Assert.True((await client.ReadAsync<Observation>($"Observation/{created.Id}"))!.IsExactly(created));
        Assert.Equal(created.VersionId, (await client.ReadAsync<Observation>($"Observation/{created.Id}/_history/{created.VersionId}"))!.VersionId);

        created.Note.Add(new Annotation { Text = "korjattu" });
        Assert.Equal(HttpStatusCode.PreconditionRequired, (await Assert.ThrowsAsync<FhirOperationException>(() => client.UpdateAsync(created))).Status);
        var updated = (await client.UpdateAsync(created, versionAware: true))!;
        Assert.Equal("korjattu", updated.Note[0].Text);
        Assert.Equal(HttpStatusCode.PreconditionFailed, (await Assert.ThrowsAsync<FhirOperationException>(() => client.UpdateAsync(created, versionAware: true))).Status);

        var patch = new Parameters().AddReplacePatchParameter("Observation.status", new Code("amended"));
        var patched = Assert.IsType<Observation>(await client.PatchAsync(new Uri($"Observation/{created.Id}", UriKind.Relative), patch));
        Assert.Equal(ObservationStatus.Amended, patched.Status);

        var history = (await client.HistoryAsync($"Observation/{created.Id}"))!;
        Assert.Equal([patched.VersionId, updated.VersionId, created.VersionId], history.Entry.Select(e => e.Resource!.VersionId));

        await client.DeleteAsync($"Observation/{created.Id}");
        var gone = await Assert.ThrowsAsync<FhirOperationException>(() => client.ReadAsync<Observation>($"Observation/{created.Id}"));
        Assert.Equal(HttpStatusCode.Gone, gone.Status);
        Assert.NotNull(gone.Outcome);
    }

    [Theory]
    [InlineData(ResourceFormat.Json)]
    [InlineData(ResourceFormat.Xml)]
    public async Task A_search_sorts_includes_and_continues_page_by_page(ResourceFormat format)
    {
        using var client = await ClientAsync(format);
        for (var i = 1; i <= 5; i++)
            await client.CreateAsync(Note("2339-0", new FhirDateTime($"2026-0{i}-01")));
        var query = new SearchParams().Where($"patient={_house.PatientId}").Where("code=2339-0").OrderBy("date", SortOrder.Descending).LimitTo(2).Include("Observation:patient");
        foreach (var search in new Func<Task<Bundle?>>[] { () => client.SearchAsync(query, "Observation"), () => client.SearchUsingPostAsync(query, "Observation") })
        {
            var dates = new List<string>();
            var page = await search();
            Assert.Equal(5, page!.Total);
            while (page is not null)
            {
                dates.AddRange(page.Entry.Select(e => e.Resource).OfType<Observation>().Select(o => ((FhirDateTime)o.Effective!).Value!));
                Assert.Single(page.Entry, e => e.Search!.Mode == Bundle.SearchEntryMode.Include && e.Resource is Patient);
                page = await client.ContinueAsync(page);
            }
            Assert.Equal(["2026-05-01", "2026-04-01", "2026-03-01", "2026-02-01", "2026-01-01"], dates);
        }
        var summary = (await client.SearchAsync(new SearchParams().Where($"patient={_house.PatientId}").Where("code=2339-0").SummaryOnly(), "Observation"))!;
        Assert.All(summary.Entry.Select(e => e.Resource!), o => Assert.Contains(o.Meta!.Tag, t => t.Code == "SUBSETTED"));
        var count = (await client.SearchAsync(new SearchParams { Summary = SummaryType.Count }.Where($"patient={_house.PatientId}").Where("code=2339-0"), "Observation"))!;
        Assert.Equal((5, 0), (count.Total, count.Entry.Count));
    }

    [Theory]
    [InlineData(ResourceFormat.Json)]
    [InlineData(ResourceFormat.Xml)]
    public async Task Conditional_create_update_and_delete_find_their_one_match(ResourceFormat format)
    {
        using var client = await ClientAsync(format);
        var criteria = new SearchParams().Where($"patient={_house.PatientId}").Where("identifier=urn:firely|" + format);
        var note = Note("8302-2");
        note.Identifier.Add(new Identifier("urn:firely", format.ToString()));
        var created = (await client.ConditionalCreateAsync(note, criteria))!;
        Assert.Equal(created.Id, (await client.ConditionalCreateAsync(note, criteria))!.Id);
        note.Status = ObservationStatus.Amended;
        var updated = (await client.ConditionalUpdateAsync(note, criteria))!;
        Assert.Equal((created.Id, ObservationStatus.Amended), (updated.Id, updated.Status));
        await client.ConditionalDeleteSingleAsync(criteria, "Observation");
        await Assert.ThrowsAsync<FhirOperationException>(() => client.ReadAsync<Observation>($"Observation/{created.Id}"));
    }

    [Theory]
    [InlineData(ResourceFormat.Json)]
    [InlineData(ResourceFormat.Xml)]
    public async Task A_transaction_links_what_it_stores(ResourceFormat format)
    {
        using var client = await ClientAsync(format);
        var builder = new Bundle { Type = Bundle.BundleType.Transaction };
        var condition = new Condition { Subject = Subject(), Code = new CodeableConcept { Text = "unettomuus" } };
        var note = Note("72514-3");
        note.Focus.Add(new ResourceReference("urn:uuid:9f0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1c01"));
        builder.Entry.Add(new() { FullUrl = "urn:uuid:9f0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1c01", Resource = condition, Request = new() { Method = Bundle.HTTPVerb.POST, Url = "Condition" } });
        builder.Entry.Add(new() { FullUrl = "urn:uuid:9f0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1c02", Resource = note, Request = new() { Method = Bundle.HTTPVerb.POST, Url = "Observation" } });
        var answer = (await client.TransactionAsync(builder))!;
        Assert.Equal(["201", "201"], answer.Entry.Select(e => e.Response!.Status![..3]));
        var stored = (await client.ReadAsync<Observation>(answer.Entry[1].Response!.Location!))!;
        Assert.StartsWith("Condition/", stored.Focus[0].Reference!, StringComparison.Ordinal);
        Assert.Contains(stored.Focus[0].Reference!, answer.Entry[0].Response!.Location!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ResourceFormat.Json)]
    [InlineData(ResourceFormat.Xml)]
    public async Task Operations_answer(ResourceFormat format)
    {
        using var client = await ClientAsync(format);
        var note = (await client.CreateAsync(Note("29463-7")))!;
        var everything = Assert.IsType<Bundle>(await client.InstanceOperationAsync(new Uri($"Patient/{_house.PatientId}", UriKind.Relative), "everything", useGet: true));
        Assert.Contains(everything.Entry, e => e.Resource is Patient);
        Assert.Contains(everything.Entry, e => e.Resource?.Id == note.Id);

        note.Status = null;
        var outcome = (await client.ValidateResourceAsync(note))!;
        Assert.False(outcome.Success);
        Assert.Contains(outcome.Issue, i => i.Expression.Contains("Observation.status"));

        var meta = await client.MetaAsync(new Uri($"Observation/{note.Id}", UriKind.Relative));
        Assert.Equal(note.VersionId, meta!.VersionId);

        var statement = (await client.CapabilityStatementAsync())!;
        Assert.Equal(FHIRVersion.N4_0_1, statement.FhirVersion);
    }

    [Fact]
    public async Task Asking_for_nothing_in_return_gives_nothing_and_says_where_it_lies()
    {
        using var client = await ClientAsync(ResourceFormat.Json);
        client.Settings.ReturnPreference = ReturnPreference.Minimal;
        Assert.Null(await client.CreateAsync(Note("29463-7")));
        Assert.Contains("/Observation/", client.LastResult!.Location!, StringComparison.Ordinal);
        client.Settings.ReturnPreference = ReturnPreference.OperationOutcome;
        Assert.Null(await client.CreateAsync(Note("29463-7")));
        Assert.IsType<OperationOutcome>(client.LastBodyAsResource);
    }

    private async Task<FhirClient> ClientAsync(ResourceFormat format)
    {
        var token = await _house.Aurora.TokenAsync();
        var http = new HttpClient(new Bearer(token!) { InnerHandler = Transport.Handler(_house.Folder.Authority, Transport.Identity(_house.Folder.File("clinics/aurora/tls.pem"), _house.Folder.File("clinics/aurora/tls.key"))) });
        return new FhirClient(new Uri(_house.Target, "/fhir/"), http, new FhirClientSettings { PreferredFormat = format, ReturnPreference = ReturnPreference.Representation, VerifyFhirVersion = false, UseAsync = false });
    }

    private ResourceReference Subject() => new("Patient/" + _house.PatientId);

    private Observation Note(string code, FhirDateTime? effective = null) =>
        new() { Status = ObservationStatus.Final, Code = new CodeableConcept(Loinc, code), Subject = Subject(), Effective = effective };

    private sealed class Bearer(string token) : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Headers.Authorization = new("Bearer", token);
            return base.SendAsync(request, cancellationToken);
        }
    }
}
