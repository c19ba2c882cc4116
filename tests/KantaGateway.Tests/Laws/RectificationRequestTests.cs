using System.Text.Json.Nodes;
using KantaGateway.Fhir.Protection;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Portal;
using KantaGateway.Harness.Clients;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Laws;

/// <summary>"This is wrong": a request for rectification reaches the controller of the entry and nobody else, stays as it was written, and is answered to the person (GDPR Art. 12, 16).</summary>
public sealed class RectificationRequestTests : IAsyncLifetime
{
    private const string Words = "Minulla ei ole ollut tätä sairautta";

    private HouseInMemory _house = null!;
    private string _note = "";

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        _note = await _house.AdmitAsync();
        await _house.PermitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    private Rectifications Rectifications => _house.Gateway.GetRequiredService<Rectifications>();

    private string Criteria => $"patient={_house.PatientId}&category={RectificationRequests.System}|{RectificationRequests.Request}";

    [Fact]
    public async Task A_request_reaches_the_controller_alone_is_one_however_often_it_is_sent_and_its_answer_reaches_the_person()
    {
        // Twice at the same time, and once more: one request.
        var both = await Task.WhenAll(AskAsync(), AskAsync());
        var request = both[0]!;
        Assert.Equal((request.Id, request.Id), (both[1]!.Id, (await AskAsync())!.Id));
        var seen = Assert.Single(await Rectifications.ListAsync(_house.Citizen, default));
        Assert.Equal((RectificationState.Open, Words, "Observation/" + _note), (seen.State, seen.Wrong, seen.Entry));
        Assert.Equal(seen.At.AddMonths(1), seen.AnswerBy);

        // The controller's client finds it by its ordinary search; who only treats her, under her permission, finds the entry and not that she contests it.
        var found = (await _house.Aurora.System.SearchAsync("Communication", Criteria)).Json;
        Assert.Equal(1, found.GetProperty("total").GetInt32());
        Assert.Equal(request.Id, found.GetProperty("entry")[0].GetProperty("resource").GetProperty("id").GetString());
        Assert.Equal(200, (await _house.Reader.ReadAsync("Observation", _note)).Status);
        Assert.Equal(0, (await _house.Reader.SearchAsync("Communication", Criteria)).Json.GetProperty("total").GetInt32());
        Assert.Equal(404, (await _house.Reader.ReadAsync("Communication", request.Id)).Status);
        Assert.Equal(404, (await _house.Revontuli.System.ReadAsync("Communication", request.Id)).Status);
        // Nor does it stand among the entries of her record, and none asks for a request to be rectified.
        Assert.Null(await Rectifications.FindAsync(_house.Citizen, "Communication", request.Id, default));

        // What she wrote stays, and nobody asks in her place.
        var read = await _house.Aurora.System.ReadAsync("Communication", request.Id);
        var changed = JsonNode.Parse(read.Body)!.AsObject();
        changed["payload"]![0]!["contentString"] = "Kaikki on oikein";
        Assert.Equal("Communication", WhereRefused(await _house.Aurora.System.UpdateAsync("Communication", request.Id, HouseInMemory.Json(changed), read.ETag)));
        Assert.Equal("Communication", WhereRefused(await _house.Aurora.System.DeleteAsync("Communication", request.Id)));
        Assert.Equal(403, (await _house.Aurora.System.CreateAsync("Communication", request.Write(7))).Status);
        // Her own session changes nothing of it and answers nothing.
        var inner = _house.Gateway.GetRequiredService<IInnerRequests>();
        Assert.Equal(403, (await inner.SendAsync(_house.Citizen, "PUT", "Communication/" + request.Id, read.Body, headers: new Microsoft.AspNetCore.Http.HeaderDictionary { ["If-Match"] = read.ETag })).Status);
        Assert.Equal(403, (await inner.SendAsync(_house.Citizen, "POST", "Communication", HouseInMemory.Json(Answer("granted", null, request.Id)))).Status);

        // A refusal says why, and is given by who keeps the entry.
        Assert.Equal("Communication.payload", WhereRefused(await AnswerAsync(_house.Aurora, "refused", null, request.Id)));
        Assert.Equal("Communication.topic", WhereRefused(await AnswerAsync(_house.Aurora, "perhaps", "x", request.Id)));
        Assert.Equal(422, (await AnswerAsync(_house.Revontuli, "refused", "x", request.Id)).Status);
        Assert.Equal(201, (await AnswerAsync(_house.Aurora, "delayed", "Lääkäri on lomalla.", request.Id)).Status);
        seen = Assert.Single(await Rectifications.ListAsync(_house.Citizen, default));
        Assert.Equal((RectificationState.Delayed, false, seen.At.AddMonths(3)), (seen.State, seen.IsSettled, seen.AnswerBy));
        var answered = await AnswerAsync(_house.Aurora, "refused", "Merkintä vastaa tutkimusta.", request.Id);
        Assert.Equal(201, answered.Status);
        seen = Assert.Single(await Rectifications.ListAsync(_house.Citizen, default));
        Assert.Equal((RectificationState.Refused, Words, "Merkintä vastaa tutkimusta.", true), (seen.State, seen.Wrong, seen.Answer, seen.IsSettled));
        Assert.Equal(404, (await _house.Reader.ReadAsync("Communication", answered.Stored!.Value.Id)).Status);
        // What was answered may be asked anew.
        Assert.NotEqual(request.Id, (await AskAsync())!.Id);
        Assert.Equal(2, (await Rectifications.ListAsync(_house.Citizen, default)).Count);

        // All of it stands in the log: the clinic's look and answer are what she is shown of who has read.
        var lines = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines;
        Assert.Contains(lines, line => !line.BySelf && line.Items.Any(item => item.Type == "Communication" && item.Id == request.Id));
        Assert.Contains(lines, line => line.BySelf && line.Items.Any(item => item.Type == "Communication" && item.Id == request.Id));
    }

    /// <summary>GDPR Art. 12(3): a month runs whatever is disputed, and she has sent it to that register herself (Art. 18(2)).</summary>
    [Fact]
    public async Task A_request_reaches_a_register_that_a_dispute_of_hers_closes_is_answered_there_and_nothing_else_is_shown()
    {
        Assert.Equal(200, (await _house.Aurora.System.ReadAsync("Observation", _note)).Status);
        var access = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines.First(line => line.Items.Any(item => item.Id == _note));
        Assert.True((await _house.Gateway.GetRequiredService<Disputes>().DisputeAsync(_house.Citizen, access.Index, default))!.Holds);
        var request = (await AskAsync())!;
        // An ordinary message of the same type is closed like the rest.
        var message = JsonNode.Parse($$"""{"resourceType":"Communication","status":"completed","subject":{"reference":"Patient/{{_house.PatientId}}"},"payload":[{"contentString":"Tervetuloa"}]}""")!.AsObject();
        var other = (await _house.Aurora.System.CreateAsync("Communication", HouseInMemory.Json(message))).Stored!.Value.Id;

        foreach (var aurora in new[] { _house.Aurora.System, _house.Aurora.Professional(_house.Folder.ProfessionalOf("aurora").Id) })
        {
            var found = (await aurora.SearchAsync("Communication", $"patient={_house.PatientId}")).Json;
            Assert.Equal(request.Id, Assert.Single(found.GetProperty("entry").EnumerateArray()).GetProperty("resource").GetProperty("id").GetString());
            Assert.Equal(200, (await aurora.ReadAsync("Communication", request.Id)).Status);
            Assert.Equal(404, (await aurora.ReadAsync("Communication", other)).Status);
            Assert.Equal(404, (await aurora.ReadAsync("Observation", _note)).Status);
            Assert.DoesNotContain(HouseInMemory.Secret, (await aurora.SearchAsync("Communication", Criteria + "&_include=Communication:subject&_include=*")).Text, StringComparison.Ordinal);
        }
        // Who has nothing to answer is shown nothing.
        Assert.Equal(0, (await _house.Revontuli.System.SearchAsync("Communication", $"patient={_house.PatientId}")).Json.GetProperty("total").GetInt32());
        Assert.Equal(201, (await AnswerAsync(_house.Aurora, "corrected", null, request.Id)).Status);
        Assert.Equal(RectificationState.Corrected, Assert.Single(await Rectifications.ListAsync(_house.Citizen, default)).State);
    }

    /// <summary>GDPR Art. 12(3): who has a month to answer is told of whom, by the search that it could make itself.</summary>
    [Fact]
    public async Task A_controller_is_told_what_waits_in_its_own_register_until_it_is_settled_and_each_look_is_on_record()
    {
        var (first, person) = ((await AskAsync())!, _house.PatientId);
        var mine = _house.Citizen;
        _note = await _house.AdmitAsync(citizen: 1);
        var second = (await AskAsync())!;
        var other = _house.PatientId;
        var professional = await _house.Aurora.ProfessionalTokenAsync(_house.Folder.ProfessionalOf("aurora").Id);
        foreach (var token in new[] { await _house.Aurora.TokenAsync(), professional })
        {
            var (isWhole, told) = await WaitingAsync(_house.Aurora, token);
            Assert.True(isWhole);
            Assert.Equal([($"Communication/{first.Id}", $"Patient/{person}", "open"), ($"Communication/{second.Id}", $"Patient/{other}", "open")], told);
        }
        Assert.Empty((await WaitingAsync(_house.Revontuli, await _house.Revontuli.TokenAsync())).Told);
        Assert.Contains((await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(mine)).Lines, line => !line.BySelf && line.Items.Any(item => item.Type == "Communication" && item.Id == first.Id));
        // Without a token nobody is told, and with one for other types nothing.
        Assert.Equal(401, (await _house.Aurora.SendAsync(HttpMethod.Get, Waiting)).Status);
        var narrow = (await _house.Aurora.RequestSystemTokenAsync(scope: "system/Observation.rs")).Value;
        Assert.Equal(403, (await _house.Aurora.SendAsync(HttpMethod.Get, Waiting, narrow)).Status);

        Assert.Equal(201, (await AnswerAsync(_house.Aurora, "delayed", "Lääkäri on lomalla.", second.Id)).Status);
        Assert.True(await Rectifications.WithdrawAsync(mine, first.Id, default));
        Assert.Equal([($"Communication/{second.Id}", $"Patient/{other}", "delayed")], (await WaitingAsync(_house.Aurora, await _house.Aurora.TokenAsync())).Told);
        Assert.Equal(201, (await AnswerAsync(_house.Aurora, "corrected", null, second.Id)).Status);
        Assert.Empty((await WaitingAsync(_house.Aurora, await _house.Aurora.TokenAsync())).Told);
        // Nothing that is kept for it says who it is.
        var folder = Path.Combine(_house.Gateway.GetRequiredService<KantaGateway.Gateway.GatewayOptions>().EmergencyFolder!, "rectifications");
        Assert.Equal(2, Directory.GetFiles(folder, "*", SearchOption.AllDirectories).Length);
        Assert.DoesNotContain(Directory.GetFileSystemEntries(folder, "*", SearchOption.AllDirectories), path => path.Contains(person, StringComparison.Ordinal) || path.Contains("99000011", StringComparison.Ordinal));
    }

    private const string Waiting = "/records/v1/rectifications/waiting";

    private static async Task<(bool IsWhole, (string?, string?, string?)[] Told)> WaitingAsync(ClinicClient clinic, string? token)
    {
        var reply = await clinic.SendAsync(HttpMethod.Get, Waiting, token);
        Assert.True(reply.Status == 200, reply.ToString());
        return (reply.Json.GetProperty("isWhole").GetBoolean(),
            [.. reply.Json.GetProperty("requests").EnumerateArray().Select(static one => (one.GetProperty("request").GetString(), one.GetProperty("patient").GetString(), one.GetProperty("state").GetString()))]);
    }

    [Fact]
    public async Task She_takes_back_what_waits_once_and_the_controller_sees_that_and_nobody_does_it_in_her_place()
    {
        var request = (await AskAsync())!;
        var withdrawal = request.WriteWithdrawal(DateTimeOffset.UtcNow);
        Assert.Equal(403, (await _house.Aurora.System.CreateAsync("Communication", withdrawal)).Status);
        var inner = _house.Gateway.GetRequiredService<IInnerRequests>();
        Assert.Equal(403, (await inner.SendAsync(_house.Citizen with { ClientId = "omakunto" }, "POST", "Communication", withdrawal)).Status);
        // Of nothing that is there, or in another register than it was asked of.
        foreach (var wrong in new[] { request with { Id = _note }, request with { Asked = new("1.2.246.10.99000022", "2") } })
            Assert.Equal(422, (await inner.SendAsync(_house.Citizen, "POST", "Communication", wrong.WriteWithdrawal(DateTimeOffset.UtcNow))).Status);

        // In two windows at the same time: it is taken back once.
        Assert.Contains(true, await Task.WhenAll(WithdrawAsync(request.Id), WithdrawAsync(request.Id)));
        Assert.False(await WithdrawAsync(request.Id));
        var seen = Assert.Single(await Rectifications.ListAsync(_house.Citizen, default));
        Assert.Equal((RectificationState.Withdrawn, true, Words), (seen.State, seen.IsSettled, seen.Wrong));
        var found = (await _house.Aurora.System.SearchAsync("Communication", $"patient={_house.PatientId}&{RectificationRequests.Criteria}")).Json;
        Assert.Equal(2, found.GetProperty("total").GetInt32());
        Assert.Equal(0, (await _house.Reader.SearchAsync("Communication", $"patient={_house.PatientId}")).Json.GetProperty("total").GetInt32());
        // That she took it back stays as it is, and what she asks again is another request.
        var taken = found.GetProperty("entry").EnumerateArray().Select(static entry => entry.GetProperty("resource").GetProperty("id").GetString()!).Single(id => id != request.Id);
        Assert.Equal("Communication", WhereRefused(await _house.Aurora.System.DeleteAsync("Communication", taken)));
        var again = (await AskAsync())!;
        Assert.NotEqual(request.Id, again.Id);

        // What was answered is not taken back; she is told, and says that she has read it.
        Assert.Equal(201, (await AnswerAsync(_house.Aurora, "refused", "Merkintä vastaa tutkimusta.", again.Id)).Status);
        Assert.False(await WithdrawAsync(again.Id));
        var inbox = _house.Gateway.GetRequiredService<Inbox>();
        var message = Assert.Single((await inbox.ReadAsync(_house.Citizen, default)).Messages, static one => one.Kind == MessageKind.Rectification);
        Assert.True(message.IsNew);
        Assert.True(await inbox.AcknowledgeAsync(_house.Citizen, message.Id, default));
        Assert.False(Assert.Single((await inbox.ReadAsync(_house.Citizen, default)).Messages, static one => one.Kind == MessageKind.Rectification).IsNew);
        Assert.False(await inbox.AcknowledgeAsync(_house.Citizen, message.Id, default));
        // To whom she permits to see her record it tells nothing of that.
        Assert.DoesNotContain(message.Id, (await _house.Reader.SearchAsync("Consent", $"patient={_house.PatientId}")).Text, StringComparison.Ordinal);
        Assert.Equal(200, (await _house.Reader.ReadAsync("Observation", _note)).Status);
    }

    [Fact]
    public async Task Of_what_is_not_hers_nothing_is_asked_and_no_app_asks_anything()
    {
        var other = _house.Citizen;
        await _house.AdmitAsync(citizen: 1);
        Assert.Null(await AskAsync());
        var (mine, request) = (_house.Citizen, new RectificationRequest
        {
            PatientId = _house.PatientId, Entry = "Observation/" + _note, Asked = new("1.2.246.10.99000011", "2"), Wrong = "x", Right = "y", At = DateTimeOffset.UtcNow,
        });
        var inner = _house.Gateway.GetRequiredService<IInnerRequests>();
        // In another's record; in the own one of another's entry; by an app that may write.
        Assert.Equal(404, (await inner.SendAsync(other, "POST", "Communication", request.Write(0))).Status);
        Assert.Equal(422, (await inner.SendAsync(mine, "POST", "Communication", request.Write(0))).Status);
        Assert.Equal(403, (await inner.SendAsync(mine with { ClientId = "omakunto" }, "POST", "Communication", request.Write(0))).Status);
        Assert.Empty(await Rectifications.ListAsync(mine, default));
    }

    private Task<RectificationRequest?> AskAsync() => Rectifications.AskAsync(_house.Citizen, "Observation", _note, new(Words, "Poistakaa se", null), default);

    private Task<bool> WithdrawAsync(string id) => Rectifications.WithdrawAsync(_house.Citizen, id, default);

    private static string? WhereRefused(FhirReply answer)
    {
        Assert.True(answer.Status == 422, answer.ToString());
        return answer.Issues[0].Expression;
    }

    private Task<FhirReply> AnswerAsync(ClinicClient clinic, string kind, string? words, string to) => clinic.System.CreateAsync("Communication", HouseInMemory.Json(Answer(kind, words, to)));

    private JsonObject Answer(string kind, string? words, string to)
    {
        var answer = JsonNode.Parse($$"""
            {"resourceType":"Communication","status":"completed","subject":{"reference":"Patient/{{_house.PatientId}}"},"inResponseTo":[{"reference":"Communication/{{to}}"}],
             "category":[{"coding":[{"system":"{{RectificationRequests.System}}","code":"{{RectificationRequests.Answer}}"}]}],"topic":{"coding":[{"system":"{{RectificationRequests.AnswerSystem}}","code":"{{kind}}"}]} }
            """)!.AsObject();
        if (words is not null)
            answer["payload"] = new JsonArray(new JsonObject { ["contentString"] = words });
        return answer;
    }
}
