using System.Text;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Tests.Fhir.Outcomes;

public class FaultTableTests
{
    [Theory]
    [InlineData(FaultKind.NotIdentified, 401)]
    [InlineData(FaultKind.Denied, 403)]
    [InlineData(FaultKind.Frozen, 403)]
    [InlineData(FaultKind.Absent, 404)]
    [InlineData(FaultKind.Deleted, 410)]
    [InlineData(FaultKind.Invalid, 400)]
    [InlineData(FaultKind.Unprocessable, 422)]
    [InlineData(FaultKind.NotSupported, 400)]
    [InlineData(FaultKind.MethodNotAllowed, 405)]
    [InlineData(FaultKind.NotAcceptable, 406)]
    [InlineData(FaultKind.UnsupportedMediaType, 415)]
    [InlineData(FaultKind.TooLarge, 413)]
    [InlineData(FaultKind.TooMany, 429)]
    [InlineData(FaultKind.VersionConflict, 412)]
    [InlineData(FaultKind.PreconditionRequired, 428)]
    [InlineData(FaultKind.Duplicate, 409)]
    [InlineData(FaultKind.AuditUnavailable, 503)]
    [InlineData(FaultKind.KeyUnavailable, 503)]
    [InlineData(FaultKind.StoreUnavailable, 503)]
    [InlineData(FaultKind.IdentificationUnavailable, 503)]
    [InlineData(FaultKind.Busy, 503)]
    [InlineData(FaultKind.UpstreamFailed, 502)]
    [InlineData(FaultKind.UpstreamTimeout, 504)]
    [InlineData(FaultKind.Unexpected, 500)]
    [InlineData((FaultKind)999, 500)]
    public void Every_fault_has_its_status(FaultKind kind, int status) => Assert.Equal(status, FaultTable.Of(kind).Status);

    [Fact]
    public void Every_fault_makes_an_OperationOutcome_that_a_strict_parser_accepts()
    {
        foreach (var kind in Enum.GetValues<FaultKind>())
        {
            var fault = new Fault(kind, new FaultIssue("What to do.", "Observation.subject"), new FaultIssue("And \"this\" <too>."));
            var outcome = Sample.Parse<OperationOutcome>(Encoding.UTF8.GetString(FaultTable.ToOperationOutcome(fault, "c-1", OutcomeLanguage.English)));
            Assert.Equal("c-1", outcome.Id);
            Assert.Equal(2, outcome.Issue.Count);
            Assert.All(outcome.Issue, i => Assert.Equal(OperationOutcome.IssueSeverity.Error, i.Severity));
            Assert.Equal(["Observation.subject"], outcome.Issue[0].Expression);
            Assert.Equal("And \"this\" <too>.", outcome.Issue[1].Diagnostics);
        }
    }

    [Fact]
    public void An_issue_may_be_more_exact_than_its_fault()
    {
        var outcome = Sample.Parse<OperationOutcome>(Encoding.UTF8.GetString(
            FaultTable.ToOperationOutcome(new Fault(FaultKind.Unprocessable, new FaultIssue("Missing.", "Observation.code", "required")), "c-1", OutcomeLanguage.English)));
        Assert.Equal(OperationOutcome.IssueType.Required, outcome.Issue[0].Code);
    }
}
